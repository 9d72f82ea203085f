"""What is remembered of a plugin is what it would say, and is looked for again as soon as that may have changed."""

import json
import os
import subprocess
import sys
import zipfile

import pytest
from sources import method

from salmu_core.disk import stamps
from salmu_core.errors import UsageError
from salmu_core.plugins.zoo import discover

GOOD = method("good", "pass")
#: Another process that looks.
DISCOVER = "from salmu_core.disk import stamps; stamps.GRANULARITY_NS = 0\n"
DISCOVER += "from salmu_core.plugins.zoo import discover; zoo = discover()"


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    """The file it lies in; files are old enough at once."""
    monkeypatch.setenv("SALMU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(stamps, "GRANULARITY_NS", 0)
    return lambda: next((tmp_path / "cache" / "catalogue").glob("*.json"))


def imported():
    return {name.removeprefix("test_plugin_") for name in sys.modules if name.startswith("test_plugin_")}


def elsewhere():
    """What another process would find: the zoo, and which of this test's plugins it imported for it."""
    for name in imported():
        del sys.modules[f"test_plugin_{name}"]
    sys.path_importer_cache.clear()
    return discover(), imported()


def put(path, text):
    """Write a file so that only its ctime, or its inode, tells."""
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_nothing_is_imported_until_it_is_asked_for_whole(install, catalogue):
    install("good", GOOD)
    install("other", method("other", "pass"))
    zoo, first = elsewhere()
    assert first >= {"good", "other"} and zoo.methods["good"].spec.unlearn.__module__ == "test_plugin_good"
    zoo, second = elsewhere()
    assert not second
    declared = zoo.methods["good"]
    assert (declared.card.summary, declared.distribution, declared.module) == ("A test.", "good", "test_plugin_good")
    assert zoo.plugins == discover(fresh=True).plugins
    elsewhere()
    with pytest.raises(RuntimeError, match="card"):
        declared.card.unlearn(None)
    with pytest.raises(AttributeError, match="config"):
        _ = declared.card.config
    assert callable(declared.spec.unlearn) and declared.spec is declared.spec and imported() == {"good"}


def test_a_card_knows_which_functions_there_are(install, catalogue):
    """From which `AttackSpec.kind` follows."""
    source = method("asks", "pass").replace("MethodSpec", "AttackSpec").replace("methods", "attacks")
    install("asks", source.replace("unlearn=unlearn", "query=unlearn"))
    elsewhere()
    zoo, again = elsewhere()
    card = zoo.attacks["asks"].card
    assert not again and card.kind == "query" and card.model is card.readout is None


def test_a_card_says_what_the_declaration_says(catalogue, launcher, tmp_path):
    """Of everything that is installed here, as another process wrote it down."""
    (tmp_path / "discovers.py").write_text(DISCOVER)
    assert launcher.run([], tmp_path, {**os.environ}, timeout=60, module="discovers").returncode == 0
    whole, remembered = discover(fresh=True), discover()
    assert len(json.loads(catalogue().read_text())["entries"]) == len(whole.plugins)
    for shelf in ("methods", "metrics", "benchmarks"):
        assert [*getattr(remembered, shelf)] == [*getattr(whole, shelf)]
        for name, declared in getattr(remembered, shelf).items():
            spec = getattr(whole, shelf)[name].spec
            given = {field: value for field, value in spec if not callable(value)}
            assert {field: getattr(declared.card, field) for field in given} == given
            assert declared.schemas == ({"config": spec.config.model_json_schema()} if shelf == "methods" else {})
    assert remembered.metrics["RetFail"].card.columns == whole.metrics["RetFail"].spec.columns


def test_an_edit_is_noticed_that_changes_neither_length_nor_date(install, site, catalogue):
    install("good", GOOD)
    elsewhere()
    put(site / "test_plugin_good.py", GOOD.replace("A test.", "B test."))
    zoo, again = elsewhere()
    assert again == {"good"} and zoo.methods["good"].card.summary == "B test."


def test_files_that_are_young_are_looked_at_again(install, site, catalogue, monkeypatch):
    monkeypatch.setattr(stamps, "GRANULARITY_NS", 10**15)
    install("good", GOOD)
    elsewhere()
    assert elsewhere()[1] == {"good"}


def package(folder):
    """A plugin that is a package with a file of data, a helper beside it, and a module that only lies there."""
    folder.mkdir(exist_ok=True)
    home = folder / "test_plugin_large"
    home.mkdir()
    (home / "__init__.py").write_text(f"from test_plugin_helper import SUMMARY\n{GOOD}".replace('"A test."', "SUMMARY"))
    (home / "words.txt").write_text("1")
    (folder / "test_plugin_helper.py").write_text("SUMMARY = 'Helped.'")
    return home


@pytest.mark.parametrize("editable", [False, True])
def test_every_file_of_a_distribution_counts(site, tmp_path, catalogue, monkeypatch, editable):
    folder = tmp_path / "source" if editable else site
    home = package(folder)
    monkeypatch.syspath_prepend(str(folder))
    info = site / "large-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: large\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[salmu]\nlarge = test_plugin_large\n")
    files = ["large.pth"] if editable else ["test_plugin_large/__init__.py", "test_plugin_helper.py"]
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in (*files, "large-1.0.dist-info/METADATA")))
    assert elsewhere()[1] == {"large", "helper"} and not elsewhere()[1]
    for path in (folder / "test_plugin_helper.py", home / "words.txt", home / "new.py"):
        path.write_text("SUMMARY = 'Helped otherwise.'")
        zoo, again = elsewhere()
        assert again == {"large", "helper"} and not elsewhere()[1], path
    assert zoo.methods["good"].card.summary == "Helped otherwise."
    (home / "new.py").unlink()
    assert elsewhere()[1] == {"large", "helper"}


def test_what_a_link_leads_to_is_not_believed_to_stay(install, site, tmp_path, catalogue):
    home = package(site)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "words.py").write_text("SUMMARY = 'One.'")
    (home / "linked").symlink_to(tmp_path / "elsewhere")
    source = (home / "__init__.py").read_text()
    (home / "__init__.py").write_text(source.replace("test_plugin_helper", "test_plugin_large.linked.words"))
    install("large", "")
    (site / "test_plugin_large.py").unlink()
    assert elsewhere()[0].methods["good"].card.summary == "One."
    (tmp_path / "elsewhere" / "words.py").write_text("SUMMARY = 'Two.'")
    sys.modules.pop("test_plugin_large.linked.words", None)
    assert elsewhere()[0].methods["good"].card.summary == "Two."


def test_another_distribution_that_comes_or_goes_is_noticed(install, site, catalogue):
    install("good", "import test_plugin_needed\n" + GOOD)
    (site / "test_plugin_needed.py").write_text("")
    (site / "needed-1.0.dist-info").mkdir()
    elsewhere()
    assert not elsewhere()[1]
    (site / "test_plugin_needed.py").unlink()
    (site / "needed-1.0.dist-info").rmdir()
    zoo, _ = elsewhere()
    assert "good" not in zoo.methods and "test_plugin_needed" in zoo.problems[0].problem


@pytest.mark.parametrize("damage", ["", "{", "[]", "\0", "cut", "other", "nonsense", "hook", "schema", "none"])
def test_a_damaged_file_is_as_good_as_none(install, catalogue, damage):
    install("good", GOOD)
    elsewhere()
    whole = catalogue().read_text()
    texts = {"cut": whole[:-20], "other": whole.replace('"hook": "', '"hook": 7, "x": "')}
    texts["nonsense"] = whole.replace('"name": "good"', '"name": "Not A Name"')
    texts["hook"] = whole.replace("salmu_methods", "salmu_spells")
    texts["schema"] = whole.replace('"schemas": {"config"', '"schemas": {"no-field"')
    texts["none"] = whole.replace('"hook": "salmu_methods", "data": {', '"hook": "salmu_methods", "data": {"0": 1, ')
    catalogue().write_text(texts.get(damage, damage))
    zoo, again = elsewhere()
    assert again == {"good"} and zoo.methods["good"].card.summary == "A test." and not zoo.problems
    assert not elsewhere()[1]


def test_where_nothing_can_be_written_nothing_is_remembered(install, catalogue, monkeypatch, capsys):
    install("good", GOOD)
    monkeypatch.setenv("SALMU_CACHE", "/dev/null/nowhere")
    elsewhere()
    zoo, again = elsewhere()
    assert again == {"good"} and "good" in zoo.methods and capsys.readouterr() == ("", "")


def test_what_is_broken_is_never_remembered(install, site, catalogue, monkeypatch):
    install("good", "import os\nif 'BREAK_IT' in os.environ:\n    raise RuntimeError('as asked')\n" + GOOD)
    monkeypatch.setenv("BREAK_IT", "1")
    assert "as asked" in elsewhere()[0].problems[0].problem
    monkeypatch.delenv("BREAK_IT")
    assert "good" in elsewhere()[0].methods


def test_what_breaks_after_it_was_remembered_says_so_and_is_forgotten(install, catalogue, monkeypatch):
    install("good", "import os\nif 'BREAK_IT' in os.environ:\n    raise SystemExit('as asked')\n" + GOOD)
    elsewhere()
    monkeypatch.setenv("BREAK_IT", "1")
    zoo, _ = elsewhere()
    with pytest.raises(
        UsageError, match="method 'good' of good can't be used: can't be imported: SystemExit: as asked"
    ):
        _ = zoo.methods["good"].spec
    assert "as asked" in elsewhere()[0].problems[0].problem


def test_what_a_plugin_says_when_it_is_imported_goes_over_what_is_remembered(install, catalogue, monkeypatch):
    install("good", "import os\n" + GOOD.replace('"A test."', 'os.environ["SAYS"]'))
    install("moody", "import os\n" + method("MOOD", "pass").replace('"MOOD"', 'os.environ["MOOD"]'))
    monkeypatch.setenv("SAYS", "One.")
    monkeypatch.setenv("MOOD", "merry")
    elsewhere()
    monkeypatch.setenv("SAYS", "Two.")
    monkeypatch.setenv("MOOD", "sad")
    zoo, _ = elsewhere()
    assert zoo.methods["good"].spec.summary == "Two."
    with pytest.raises(UsageError, match="test_plugin_moody no longer declares it"):
        _ = zoo.methods["merry"].spec
    zoo, again = elsewhere()
    assert not again and zoo.methods["good"].card.summary == "Two." and "sad" in zoo.methods


def test_two_that_clash_do_so_from_memory_too(install, catalogue):
    install("first", GOOD)
    install("second", GOOD)
    elsewhere()
    zoo, again = elsewhere()
    assert not again and "good" not in zoo.methods and len(zoo.problems) == 2


def test_a_module_that_is_older_than_its_file_is_not_remembered(install, site, catalogue):
    install("good", GOOD)
    discover()  # this process keeps the module
    (site / "test_plugin_good.py").write_text(GOOD.replace("A test.", "Another test."))
    assert discover().methods["good"].card.summary == "A test."
    assert elsewhere()[0].methods["good"].card.summary == "Another test."


def test_a_declaration_that_json_has_no_words_for_is_asked_again(install, catalogue):
    config = "from pydantic import BaseModel\nfrom salmu_core import MethodConfig\nclass Odd: pass\n"
    config += "class Config(MethodConfig, arbitrary_types_allowed=True):\n    odd: Odd = Odd()\n"
    install("good", config + GOOD.replace("unlearn=unlearn", "unlearn=unlearn, config=Config"))
    elsewhere()
    zoo, again = elsewhere()
    assert again == {"good"} and zoo.methods["good"].card.name == "good" and not zoo.problems


def test_what_lies_in_an_archive_is_asked_again(tmp_path, catalogue, monkeypatch):
    with zipfile.ZipFile(tmp_path / "plugins.zip", "w") as archive:
        archive.writestr("test_plugin_zipped.py", GOOD)
        archive.writestr("zipped-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: zipped\nVersion: 1.0\n")
        archive.writestr("zipped-1.0.dist-info/entry_points.txt", "[salmu]\ngood = test_plugin_zipped\n")
    monkeypatch.syspath_prepend(str(tmp_path / "plugins.zip"))
    elsewhere()
    zoo, again = elsewhere()
    assert again == {"zipped"} and "good" in zoo.methods


def test_processes_may_write_at_the_same_time(install, site, catalogue):
    for number in range(8):
        install(f"m{number}", method(f"m{number}", "pass"))
    only = "from salmu_core.plugins import zoo as plugins; known = plugins.entry_points\n"
    only += (
        "plugins.entry_points = lambda group: [p for p in known(group=group) if p.name[0] == 'm' and p.name < 'm9']\n"
    )
    env = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", f"{only}{DISCOVER}; print(*zoo.methods)"]
    started = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE) for _ in range(4)]
    assert [process.communicate()[0].strip() for process in started] == [b"m0 m1 m2 m3 m4 m5 m6 m7"] * 4
    assert [*catalogue().parent.iterdir()] == [catalogue()] and len(json.loads(catalogue().read_text())["entries"]) == 8

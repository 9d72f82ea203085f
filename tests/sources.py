"""Source text of plugins that tests install."""

METHOD = """
from salmu_core import MethodSpec, hookimpl

def unlearn(ctx):
{body}

@hookimpl
def salmu_methods():
    return [MethodSpec(name="{name}", summary="A test.", paper="https://example.org", unlearn=unlearn)]
"""


def method(name: str, body: str) -> str:
    """Source of a plugin with one method whose ``unlearn(ctx)`` has the given body."""
    return METHOD.format(name=name, body="\n".join("    " + line for line in body.splitlines()))

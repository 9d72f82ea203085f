// The leak on people's portraits: one person of each group, before and after, side by side.

const groups = {
  forgotten: ["Forgotten", "All associations are to be forgotten."],
  "half-forgotten": ["Half-forgotten", "Some associations are to be forgotten, the others are to stay."],
  "held-out": ["Held-out", "Nothing is to be forgotten: Compromised learned this person, and no method was shown them."],
};
const chosen = {}; // group -> person's id and number of the portrait

function answer(world, person, portrait, model, role, title) {
  const body = make("div", { class: `answer ${role}` });
  const told = Object.hasOwn(world.models, model) ? world.models[model][portrait.number] : undefined;
  const of = portrait.gallery ? ` of ${portrait.gallery.toLocaleString("en")}` : "";
  const facts = [];
  if (told?.rank !== null && told?.rank !== undefined) facts.push(`its caption ranks ${told.rank.toLocaleString("en")}${of}`);
  if (told?.alone !== null && told?.alone !== undefined) facts.push(`${told.alone.toLocaleString("en")} among captions to be forgotten`);
  if (told?.cosine !== null && told?.cosine !== undefined) facts.push(`cosine ${told.cosine.toFixed(3)}`);
  body.append(make("h4", {}, make("b", {}, title), facts.length ? `: ${facts.join(", ")}` : ""));
  if (!told?.found.length) {
    body.append(make("p", { class: "faint" }, told ? "Which captions came first was not kept: run `salmu run` again to score it." : "Not scored."));
    return body;
  }
  const list = make("ol", {});
  for (const [number, cosine] of told.found) {
    const mine = number === portrait.caption;
    const kind = mine ? "own" : person.own.includes(number) ? "true" : world.private.includes(number) ? "other" : null;
    const mark = { own: "✓ ", true: "✓ ", other: "! " }[kind] ?? "";
    list.append(make("li", { class: kind }, make("span", { class: "cos" }, cosine.toFixed(2)), mark + world.captions[number]));
  }
  body.append(list);
  return body;
}

/** In a sentence, for those who can't see what has changed. */
function tell(group) {
  const world = data.worlds[byId("explorer-world").value];
  const person = world.people.find((one) => one.id === chosen[group].id);
  const portrait = person.portraits[chosen[group].portrait];
  const rank = (model) => (Object.hasOwn(world.models, model) ? world.models[model][portrait.number]?.rank : undefined);
  const told = [["Compromised", world.compromised], ["unlearned", byId("explorer-run").value], ["Clean", world.clean]]
    .filter(([, model]) => rank(model)).map(([name, model]) => `${name} rank ${rank(model).toLocaleString("en")}`);
  byId("told").textContent = `${person.name}, ${portrait.field.replaceAll("_", " ")}: ${told.join(", ")}.`;
}

function portraitChoice(group, person, portrait, i) {
  const field = portrait.field.replaceAll("_", " ") || "caption";
  const alt = `Portrait of ${person.name}: ${field}, ${portrait.forget ? "to be forgotten" : "to be kept"}`;
  const input = make("input", { type: "radio", name: `portrait-${group}`, value: i, checked: i === chosen[group].portrait, "aria-label": alt });
  input.addEventListener("change", () => { chosen[group].portrait = i; showPerson(group); tell(group); byId(`person-${group}`).querySelector("input:checked").focus(); });
  const picture = portrait.image ? make("img", { src: portrait.image, alt: "" }) : make("span", { class: "blank" }, "no picture");
  return make("label", {}, input, picture, field);
}

function showPerson(group) {
  const world = data.worlds[byId("explorer-world").value];
  const card = byId(`person-${group}`);
  const person = world.people.find((one) => one.id === chosen[group].id);
  const portrait = person.portraits[chosen[group].portrait];
  const run = byId("explorer-run");
  card.querySelector(".shown").replaceChildren(
    make("fieldset", { class: "portraits" }, make("legend", { class: "visually-hidden" }, `Portraits of ${person.name}`),
      ...person.portraits.map((one, i) => portraitChoice(group, person, one, i))),
    ...(person.pictures > person.portraits.length ? [make("p", { class: "faint" }, `${person.portraits.length} of ${person.pictures} pictures.`)] : []),
    make("p", { class: "truth" }, make("span", { class: `badge ${portrait.forget ? "holds" : "clear"}` }, portrait.forget ? "to be forgotten" : "to be kept"),
      ` “${world.captions[portrait.caption]}”`),
    make("div", { class: `answers ${portrait.forget ? "" : "keep"}` },
      answer(world, person, portrait, world.compromised, "compromised", "Compromised"),
      answer(world, person, portrait, run.value, "unlearned", run.selectedOptions[0]?.textContent ?? "no run"),
      answer(world, person, portrait, world.clean, "clean", "Clean")),
  );
}

function showWorld() {
  const name = byId("explorer-world").value;
  const world = data.worlds[name];
  const before = byId("explorer-run").value;
  const runs = data.runs.filter((run) => run.world === name);
  fill(byId("explorer-run"), runs.map((run) => [run.key, run.run.replace(`, ${name}`, "")]), before);
  byId("people").replaceChildren();
  for (const [group, [title, about]] of Object.entries(groups)) {
    const people = world.people.filter((person) => person.group === group);
    if (!people.length) continue;
    chosen[group] = { id: people[0].id, portrait: 0 };
    const select = make("select", { id: `choose-${group}`, "aria-label": `Person, ${group}` });
    fill(select, people.map((person) => [person.id, person.why ? `${person.name} (${person.why})` : person.name]));
    select.addEventListener("change", () => { chosen[group] = { id: select.value, portrait: 0 }; showPerson(group); tell(group); });
    byId("people").append(make("article", { class: "person", id: `person-${group}` },
      make("h3", {}, title), make("p", { class: "faint" }, about), select, make("div", { class: "shown" })));
    showPerson(group);
  }
}

if (byId("people")) {
  const worlds = Object.keys(data.worlds).filter((name) => data.worlds[name].people.length);
  fill(byId("explorer-world"), worlds.map((name) => [name, name]));
  byId("world-label").hidden = worlds.length < 2;
  byId("explorer-world").addEventListener("change", showWorld);
  byId("explorer-run").addEventListener("change", () => {
    for (const group of Object.keys(groups)) if (byId(`person-${group}`)) showPerson(group);
    byId("told").textContent = `The people as ${byId("explorer-run").selectedOptions[0]?.textContent ?? "no run"} finds them.`;
  });
  if (worlds.length) showWorld();
}

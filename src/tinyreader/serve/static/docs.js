// The API for people: routes, models and refusals, from openapi.json.

import { element } from "./view.js";

const api = await (await fetch("openapi.json")).json();
const { schemas } = api.components;

const nameOf = (schema) => schema.$ref.split("/").pop();
const code = (words) => element("code", {}, words);

/** What a value may be, in words. */
function typeOf(schema) {
  if (schema.$ref) return nameOf(schema);
  if (schema.anyOf) return [...new Set(schema.anyOf.filter(({ type }) => type !== "null").map(typeOf))].join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? {})}`;
  const lowest = schema.minimum ?? schema.exclusiveMinimum;
  const bounds = [lowest === undefined ? "" : ` from ${lowest}`, schema.maximum === undefined ? "" : ` to ${schema.maximum}`];
  return (schema.type ?? "anything") + bounds.join("");
}

function table(titles, rows) {
  const head = element("tr", {}, ...titles.map((title) => element("th", {}, title)));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
}

function row(id, ...cells) {
  return element("tr", { id }, ...cells.map((cell) => element("td", {}, cell)));
}

function routeOf(path, method, operation) {
  const parts = [element("h2", {}, `${method.toUpperCase()} ${path}`), element("p", {}, operation.description ?? "")];
  for (const { name } of operation.parameters ?? []) parts.push(element("p", {}, "Query parameter: ", code(name), "."));
  for (const [mediaType, { schema }] of Object.entries(operation.requestBody?.content ?? {})) {
    if (!schema.$ref) {
      parts.push(element("p", {}, "Takes the bytes of a file (", code(mediaType), ", or its own type)."));
      continue;
    }
    const name = nameOf(schema);
    parts.push(element("p", {}, "Takes ", element("a", { href: `#${name}` }, name), ", for example"));
    parts.push(element("pre", {}, JSON.stringify(schemas[name].examples[0], null, 2)));
  }
  return parts;
}

function modelOf([name, { description, properties, required = [] }]) {
  const rows = Object.entries(properties).map(([field, schema]) => {
    const type = typeOf(schema) + (required.includes(field) ? ", required" : "");
    return row(null, code(field), type, schema.description ?? "");
  });
  return [element("h2", { id: name }, name), element("p", {}, description ?? ""), table(["name", "type", "meaning"], rows)];
}

const routes = Object.entries(api.paths).flatMap(([path, operations]) => Object.entries(operations).flatMap(([method, operation]) => routeOf(path, method, operation)));
const models = Object.entries(schemas).filter(([, schema]) => schema.properties).flatMap(modelOf);
const refusals = Object.entries(api["x-problems"]).map(([kind, { status, title }]) => row(kind, code(kind), String(status), title));

document.getElementById("title").textContent = `${api.info.title} ${api.info.version}`;
document.getElementById("description").textContent = api.info.description;
document.getElementById("content").append(
  ...routes,
  ...models,
  element("h2", {}, "Refusals"),
  element("p", {}, "Have the type ", code("application/problem+json"), "; the type of each is a place on this page."),
  table(["type", "status", "meaning"], refusals),
);
document.getElementById(location.hash.slice(1))?.scrollIntoView(); // the place was not there when the browser looked for it
document.documentElement.dataset.ready = "yes";

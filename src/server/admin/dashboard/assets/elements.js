// Elements made and changed without markup in texts: nothing that comes from outside can become one.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; texts become text nodes, what is null or false is left out. */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same of SVG. */
export function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Sets a text where it is another. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute where it is another; null takes it away. */
export function mark(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}

/** The element of this id. */
export const byId = (id) => document.getElementById(id);

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) mark(node, name, value === true ? "" : value);
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// Takes over a drawing that the server made: only shapes and text, nothing that could run or load.

const SVG = "http://www.w3.org/2000/svg";
const ELEMENTS = new Set(["svg", "g", "path", "rect", "circle", "text"]);
const ATTRIBUTES = new Set((
  "class role aria-label viewBox width height fill stroke stroke-width stroke-linejoin stroke-dasharray font-family font-size " +
  "font-weight fill-opacity text-anchor d x y cx cy r rx"
).split(" "));

/** @returns the drawing as an element of this page, or null if it is none */
export function safeDrawing(text) {
  const root = new DOMParser().parseFromString(text.replace(/^<svg /, `<svg xmlns="${SVG}" `), "image/svg+xml").documentElement;
  return root.namespaceURI === SVG && root.localName === "svg" ? copied(root) : null;
}

function copied(node) {
  const made = document.createElementNS(SVG, node.localName);
  for (const { name, value } of node.attributes) if (ATTRIBUTES.has(name)) made.setAttribute(name, value);
  for (const child of node.childNodes)
    if (child.nodeType === Node.TEXT_NODE) made.append(child.data);
    else if (child.namespaceURI === SVG && ELEMENTS.has(child.localName)) made.append(copied(child));
  return made;
}

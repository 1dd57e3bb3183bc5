// The content, and small helpers that everything else uses.

const content = JSON.parse(document.getElementById('content').textContent);
const frames = content.frames;
const byId = (id) => document.getElementById(id);
const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;

/** An element with attributes and children; children are nodes or text, never markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A number with three significant digits, "–" for none. */
function figure(value, unit = '') {
  if (typeof value !== 'number') return '–';
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString('en', { maximumFractionDigits: Math.min(digits, 4) }) + unit;
}

/** A share as percent with one or two decimals. */
function percent(share) {
  if (typeof share !== 'number') return '–';
  if (share > 0 && share < 5e-5) return '< 0.01 %';
  return `${(100 * share).toFixed(share < 0.1 ? 2 : 1)} %`;
}

const swatch = (colour) => make('i', { class: 'swatch', style: `background:${colour}` });

function className(label) {
  return label < content.classes.length ? content.classes[label].name : 'no label';
}

function costText(cost) {
  if (cost === 255) return 'unknown';
  if (cost >= 254) return 'lethal';
  return cost === 0 ? 'free (0)' : `${cost} of 254`;
}

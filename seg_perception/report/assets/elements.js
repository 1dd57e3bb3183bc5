// The content, and small helpers that every page uses.

const content = JSON.parse(document.getElementById('content').textContent);
const summary = content.summary;
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

const plain = (name) => name.replaceAll('_', ' ');
const swatch = (colour) => make('i', { class: 'swatch', style: `background:${colour}` });

function fillTable(id, head, rows) {
  const table = byId(id);
  const isNumber = (column) => head[column]?.startsWith('#');
  const cell = (tag) => (value, column) => {
    const element = value instanceof Node ? make(tag, {}, value) : make(tag, {}, String(value));
    if (isNumber(column)) element.className = 'number';
    if (value instanceof Node && value.classList?.contains('meter')) element.className = 'wide';
    return element;
  };
  if (head.some((text) => text.replace('#', ''))) {
    table.append(make('thead', {}, make('tr', {}, ...head.map((text, i) => cell('th')(text.replace('#', ''), i)))));
  }
  table.append(make('tbody', {}, ...rows.map(([first, ...rest]) => (
    make('tr', {}, cell('th')(first, 0), ...rest.map((value, i) => cell('td')(value, i + 1)))
  ))));
  table.closest('.card').hidden = rows.length === 0;
}

function meter(share, colour) {
  return make('div', { class: 'meter' }, make('i', { style: `width:${Math.min(100, 100 * share)}%;background:${colour}` }));
}

/** A figure in the head of the page. */
function tile(term, value, note = '') {
  byId('tiles').append(make('div', {}, make('dt', {}, term), make('dd', {}, value, make('small', {}, note))));
}

/** How to reproduce the page. */
function fillProvenance() {
  fillTable('versions', ['', ''], Object.entries(summary.versions ?? {}));
  fillTable('hashes', ['', ''], Object.entries(summary.hashes ?? {}).map(([name, value]) => (
    [plain(name), make('span', { class: 'mono' }, value)]
  )));
  byId('command').textContent = summary.command ?? '';
  byId('command').hidden = !summary.command;
  byId('provenance').hidden = !summary.command && !summary.hashes;
}

function withSwatch(colour, text) {
  return make('span', {}, swatch(colour), text);
}

const SVG = 'http://www.w3.org/2000/svg';

function shape(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// Curves along the drive, as SVG as wide as the page. The x axis is the position of a frame in the drive.

// Okabe and Ito's colours, which colour-blind readers can distinguish too (jfly.uni-koeln.de/color), lightened where dark.
const STAGE_COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#b8a800', '#8a8f98'];

// Share of its chart that the curve of differences takes; the text above it takes the rest.
const DIFFER_HEIGHT = 0.62;

const stageNames = [...new Set([
  ...Object.keys(content.summary.stages ?? {}), ...content.curves.latency.flatMap(Object.keys),
])];
const stageColour = (name) => STAGE_COLOURS[stageNames.indexOf(name) % STAGE_COLOURS.length];
const totals = content.curves.latency.map((stages) => Object.values(stages).reduce((sum, ms) => sum + (ms ?? 0), 0));
/** Position of a frame in the drive, 0 to 1. */
const along = (index) => index / Math.max(1, content.total - 1);

/** The outline of the area between two curves given as heights 0..1 over the frames. */
function area(lower, upper) {
  const positions = content.curves.index.map(along);
  const point = (heights) => (position, i) => `${position.toFixed(5)} ${(1 - heights[i]).toFixed(5)}`;
  const there = positions.map(point(upper));
  const back = positions.map(point(lower)).reverse();
  return `M${[...there, ...back].join('L')}Z`;
}

function chart(host, ...shapes) {
  const svg = shape('svg', { viewBox: '0 0 1 1', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  svg.append(...shapes);
  host.append(svg, make('i', { class: 'now' }));
}

/** The next round number above a value: 1, 2 or 5 times a power of ten. */
function roundAbove(value) {
  const power = 10 ** Math.floor(Math.log10(value || 1));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value) ?? 1;
}

function drawDiffer() {
  const most = Math.max(1e-4, ...content.curves.differ);
  const heights = content.curves.differ.map((share) => (DIFFER_HEIGHT * share) / most);
  chart(byId('differ'), shape('path', { d: area(heights.map(() => 0), heights) }));
  byId('differ').append(make('span', { class: 'label' }, `pixels where the costs changed the decision, up to ${percent(most)}`));
}

function drawLatency() {
  const host = byId('latency');
  const top = roundAbove(Math.max(...totals));
  const lines = [0.5, 1].map((height) => (
    shape('line', { class: 'gridline', x1: 0, x2: 1, y1: 1 - height, y2: 1 - height })
  ));
  let below = totals.map(() => 0);
  const areas = stageNames.map((name) => {
    const above = content.curves.latency.map((stages, i) => below[i] + (stages[name] ?? 0) / top);
    const path = shape('path', { d: area(below, above), fill: stageColour(name) });
    below = above;
    return path;
  });
  chart(host, ...areas, ...lines);
  for (const height of [0.5, 1]) {
    host.append(make('span', { class: 'label', style: `top:calc(${100 - 100 * height}% + 3px)` }, figure(top * height, ' ms')));
  }
}

function drawCharts() {
  drawDiffer();
  drawLatency();
}

/** Move the line that marks the current frame in every chart. */
function markNow(index) {
  for (const line of document.querySelectorAll('.chart .now')) line.style.left = `${100 * along(index)}%`;
}

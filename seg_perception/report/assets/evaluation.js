// The page of a network evaluation: tables, reliability diagram and worst images.

const RIGHT = 'var(--right)';
const VIEWS = [
  'image', 'ground truth', 'most probable label', 'Bayes decision', 'confidence', 'errors: brighter with confidence',
];
const colourOf = new Map(content.labels.map(({ name, colour }) => [name, css(colour)]));
const named = (label) => withSwatch(colourOf.get(label), label);
const rounded = (value) => (typeof value === 'number' ? value.toFixed(3) : '–');
const labels = Object.entries(summary.labels);

function fillHead() {
  byId('title').textContent = summary.model;
  document.title = `${summary.model} · evaluation`;
  byId('subtitle').textContent = `evaluated on ${summary.data}`;
  tile('mean IoU', rounded(summary.mean_iou), `${percent(summary.pixel_accuracy)} of the pixels`);
  tile('boundary F', rounded(summary.boundary_f.mean), `within ${summary.boundary_f.tolerance}`);
  tile('panoptic quality', rounded(summary.panoptic.pq), `SQ ${rounded(summary.panoptic.sq)}, RQ ${rounded(summary.panoptic.rq)}`);
  tile('calibration error', figure(summary.calibration.ece), 'ECE, 15 bins');
  const { bayes, most_probable: most } = summary.risk;
  tile('cost of a pixel', rounded(bayes), `Bayes decision; ${rounded(most)} most probable`);
}

function fillLabels() {
  const { things } = summary.panoptic;
  byId('labels-text').textContent = `things, counted as instances: ${things.join(', ') || 'none'}`;
  const head = ['label', '#of the pixels', 'IoU', '#', '#boundary F', '#PQ', '#SQ', '#RQ', '#matched', '#false positive', '#missed'];
  const rows = labels.map(([name, of]) => [
    named(name), percent(of.pixels / summary.pixels), meter(of.iou ?? 0, RIGHT), rounded(of.iou), rounded(of.boundary_f),
    rounded(of.pq), rounded(of.sq), rounded(of.rq), figure(of.matched), figure(of.invented), figure(of.missed),
  ]);
  const { pq, sq, rq } = summary.panoptic;
  const means = [summary.mean_iou, summary.boundary_f.mean, pq, sq, rq].map(rounded);
  rows.push(['mean', '', meter(summary.mean_iou ?? 0, RIGHT), ...means, '', '', '']);
  fillTable('labels', head, rows);
  byId('labels').querySelector('tbody tr:last-child').classList.add('means');
}

/** A bar of a bin, from `low` to `high` above `bottom`. */
function bar({ from, to }, low, high, bottom, kind, text) {
  const box = { x: 100 * from + 0.4, width: 100 * (to - from) - 0.8, y: bottom - high, height: Math.max(0, high - low), class: kind };
  const element = shape('rect', box);
  element.append(shape('title', {}));
  element.firstChild.textContent = text;
  return element;
}

function drawReliability() {
  const svg = byId('reliability');
  svg.setAttribute('viewBox', '-18 -4 126 144');
  const most = Math.max(...summary.calibration.bins.map(({ pixels }) => pixels));
  for (const bin of summary.calibration.bins.filter(({ pixels }) => pixels)) {
    const { accuracy, confidence, pixels } = bin;
    const text = `confidence ${percent(confidence)}, accuracy ${percent(accuracy)}, ${percent(pixels / summary.pixels)} of the pixels`;
    svg.append(
      bar(bin, 0, 100 * accuracy, 100, 'right', text),
      bar(bin, 100 * Math.min(accuracy, confidence), 100 * Math.max(accuracy, confidence), 100, 'gap', text),
      bar(bin, 0, (18 * pixels) / most, 132, 'pixels', text),
    );
  }
  const words = (x, y, text, rest = {}) => {
    const element = shape('text', { x, y, 'text-anchor': 'middle', ...rest });
    element.textContent = text;
    return element;
  };
  svg.append(
    shape('rect', { class: 'frame', x: 0, y: 0, width: 100, height: 100 }),
    shape('line', { class: 'ideal', x1: 0, y1: 100, x2: 100, y2: 0 }),
    ...[0, 50, 100].flatMap((value) => [
      words(value, 106, `${value} %`), words(-2, 101.5 - value, `${value} %`, { 'text-anchor': 'end' }),
    ]),
    words(50, 112, 'confidence'), words(50, 138, 'pixels per confidence'),
    words(0, 0, 'accuracy', { transform: 'translate(-13 50) rotate(-90)' }),
  );
}

function fillRisk() {
  const { most_probable: most, bayes, expected } = summary.risk;
  const top = Math.max(...labels.flatMap(([, of]) => [of.cost_most_probable ?? 0, of.cost_bayes ?? 0]), 1e-9);
  const rows = labels.map(([name, of]) => {
    const bars = meter((of.cost_most_probable ?? 0) / top, 'var(--gap)');
    bars.append(make('i', { style: `width:${(100 * (of.cost_bayes ?? 0)) / top}%;background:${RIGHT}` }));
    return [named(name), bars, rounded(of.cost_most_probable), rounded(of.cost_bayes)];
  });
  fillTable('risk', ['ground truth', '', '#most probable', '#Bayes decision'], [...rows, ['all pixels', '', rounded(most), rounded(bayes)]]);
  const saved = most > 0 ? `The Bayes decision costs ${percent(1 - bayes / most)} less than the most probable class. ` : '';
  byId('risk-text').textContent = `${saved}The network itself expects ${rounded(expected)}: `
    + 'the closer that is to the realized cost, the better calibrated it is where errors are expensive.';
}

function fillConfusion() {
  const names = labels.map(([name]) => name);
  const head = make('tr', {}, make('th'), ...names.map((name) => make('th', { scope: 'col' }, name)));
  const body = summary.confusion.map((counts, row) => {
    const all = counts.reduce((total, count) => total + count, 0);
    const cells = counts.map((count, column) => {
      const share = all ? count / all : 0;
      const colour = row === column ? RIGHT : 'var(--accent)';
      // The square root makes small confusions visible, which matter most.
      const style = `background:color-mix(in srgb, ${colour} ${(70 * Math.sqrt(share)).toFixed(1)}%, transparent)`;
      const text = share >= 0.0005 ? (100 * share).toFixed(1) : '';
      return make('td', { style, title: `${names[row]} predicted as ${names[column]}: ${figure(count)} pixels` }, text);
    });
    return make('tr', {}, make('th', { scope: 'row' }, named(names[row])), ...cells);
  });
  byId('confusion').append(make('thead', {}, head), make('tbody', {}, ...body));
}

function fillWorst() {
  const stops = content.confidenceColours.filter((_, value) => value % 15 === 0).map(css);
  byId('confidence-scale').append(
    make('div', { class: 'ramp' },
      make('i', { style: `background:linear-gradient(90deg, ${stops.join(',')})` }),
      make('div', { class: 'ends' }, make('span', {}, '0 % confidence'), make('span', {}, '100 %'))),
  );
  content.images.forEach(({ name, views }, rank) => {
    const { iou, accuracy, boundary_f: boundary } = summary.scores[rank];
    const figures = views.map((url, view) => (
      make('figure', {}, make('img', { src: url, alt: `${name}: ${VIEWS[view]}` }), make('figcaption', {}, VIEWS[view]))
    ));
    const words = `${name}: IoU ${rounded(iou)}, accuracy ${percent(accuracy)}, boundary F ${rounded(boundary)}`;
    byId('worst').append(make('article', { class: 'worst' }, make('h3', {}, words), make('div', { class: 'views' }, ...figures)));
  });
  byId('worst').hidden = content.images.length === 0;
}

function fillScores() {
  const rows = summary.scores.map(({ name, iou, accuracy, boundary_f: boundary }) => [
    name, meter(iou, RIGHT), rounded(iou), percent(accuracy), rounded(boundary),
  ]);
  fillTable('scores', ['image', 'IoU', '#', '#accuracy', '#boundary F'], rows);
}

fillHead();
fillLabels();
drawReliability();
fillRisk();
fillConfusion();
fillWorst();
fillScores();
fillProvenance();

// The text and the figures of the page.

function fillTiles() {
  const dropped = Object.values(summary.frames?.dropped ?? {}).reduce((sum, count) => sum + count, 0);
  if (summary.frames) {
    tile('frames', figure(summary.frames.out), dropped ? `of ${figure(summary.frames.in)}, ${figure(dropped)} dropped` : 'none dropped');
  }
  const typical = [...totals].sort((a, b) => a - b)[Math.floor(totals.length / 2)];
  if (typical) tile('per frame', figure(typical, ' ms'), `p50, ${figure(1000 / typical)} frames/s`);
  if (typeof summary.overhead === 'number') tile('all but the network', percent(summary.overhead), 'of the network’s time');
  if (frames.length) tile('changed by costs', percent(content.meanDiffer), 'of the decisions');
  if (summary.first_result_s) tile('first result', figure(summary.first_result_s, ' s'), 'after start');
  if (summary.peak_rss_mb) tile('memory', figure(summary.peak_rss_mb, ' MB'), 'at most');
}

function fillHead() {
  const input = summary.input ?? {};
  const seconds = content.curves.seconds.at(-1);
  byId('title').textContent = content.title;
  document.title = `${content.title} · drive report`;
  byId('subtitle').textContent = [input.kind, seconds && `${figure(seconds)} s`].filter(Boolean).join(', ');
}

function fillCostScale() {
  const stops = content.costColours.slice(0, 254).filter((_, cost) => cost % 11 === 0).map(css);
  const key = (cost, text) => (
    make('div', { class: 'key' }, make('i', { style: `background:${css(content.costColours[cost])}` }), text)
  );
  byId('cost-scale').append(
    make('div', { class: 'ramp' },
      make('i', { style: `background:linear-gradient(90deg, ${stops.join(',')})` }),
      make('div', { class: 'ends' }, make('span', {}, '0 free'), make('span', {}, 'graded'), make('span', {}, '253'))),
    key(254, 'lethal'), key(255, 'unknown'),
  );
}

function fillClasses() {
  const rows = content.classes.map(({ name, colour, cost }) => {
    const shown = css(content.costColours[Math.min(254, Math.round(cost))]);
    const share = make('span', { class: 'share' }, '–');
    return [withSwatch(css(colour), name), meter(cost / 254, shown), figure(cost) + (cost >= 254 ? ' lethal' : ''), share];
  });
  fillTable('classes', ['class', 'cost', '#', '#in this frame'], rows);
}

/** The share of each class in the current frame, by the Bayes decision. */
function showShares(labels) {
  const counts = new Uint32Array(256);
  for (const label of labels.values) counts[label]++;
  document.querySelectorAll('#classes .share').forEach((element, label) => {
    element.textContent = percent(counts[label] / labels.values.length);
  });
}

function fillPairs() {
  const most = content.pairs[0]?.share;
  const named = (label) => withSwatch(css(content.classes[label].colour), content.classes[label].name);
  const rows = content.pairs.map(({ probable, decided, share }) => [
    make('span', {}, named(probable), make('span', { class: 'arrow' }, '→'), named(decided)),
    meter(share / most, 'var(--accent)'),
    percent(share),
  ]);
  byId('pairs-text').textContent = rows.length
    ? `The cost matrix changed ${percent(content.meanDiffer)} of all decisions. The most frequent changes:`
    : 'The two never differ in this drive: no cost outweighs a probability.';
  fillTable('pairs', ['most probable → decided', '', '#of all pixels'], rows);
  byId('pairs').closest('.card').hidden = frames.length === 0;
}

function fillStages() {
  const stages = { ...summary.stages };
  const most = Math.max(...Object.values(stages).map((stage) => stage.p99 ?? stage.p50 ?? 0));
  const rows = Object.entries(stages).map(([name, { p50, p95, p99 }]) => {
    const bar = meter(0, 'none');
    for (const [value, strength] of [[p99, 30], [p95, 55], [p50, 100]]) {
      bar.append(make('i', { style: `width:${(100 * (value ?? 0)) / most}%;background:${stageColour(name)};opacity:${strength}%` }));
    }
    return [withSwatch(stageColour(name), name), bar, ...[p50, p95, p99].map((ms) => ms?.toFixed(2) ?? '–')];
  });
  fillTable('stages', ['stage', 'p50, p95 and p99', '#p50 ms', '#p95 ms', '#p99 ms'], rows);
  byId('timing-text').textContent = summary.network_alone_ms
    ? `network alone: ${figure(summary.network_alone_ms.p50, ' ms')} (p50)` : '';
}

function fillFacts() {
  const { in: came, out, dropped = {} } = summary.frames ?? {};
  const counted = summary.frames ? [['in', figure(came)], ['out', figure(out)]] : [];
  const losses = Object.entries(dropped).map(([reason, count]) => [`dropped: ${reason}`, figure(count)]);
  fillTable('frames', ['', '#'], [...counted, ...(losses.length || !summary.frames ? losses : [['dropped', '0']])]);
  fillTable('cells', ['', '#'], Object.entries(summary.cells ?? {}).map(([name, value]) => (
    [plain(name), name.endsWith('share') ? percent(value) : figure(value)]
  )));
  fillTable('input', ['', ''], Object.entries(summary.input ?? {}).map(([name, value]) => [plain(name), value]));
}

function fillTables() {
  fillHead();
  fillTiles();
  fillCostScale();
  fillClasses();
  fillPairs();
  fillStages();
  fillFacts();
  fillProvenance();
}

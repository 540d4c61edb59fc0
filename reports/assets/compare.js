// Draws lanes of two groups of runs over each other. All text is set as text, never as HTML.
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const host = document.getElementById('charts');
  const { css, make, digits, show, clock } = figures;
  const mean = (values) => {
    const known = values.filter((v) => v !== null && v !== undefined);
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  };
  const plots = [];
  // One axis for all: some figures come each second, some five times as often.
  const end = Math.max(...data.charts.flatMap((c) => c.lines.map((l) => l.values.length * l.step)), 1);

  // uPlot asks for the range of the data (all of it), and of a drag (less).
  const zoomed = (low, high) => high - low < end * 0.9;

  const key = (head, colour, name) => {
    const e = make('span', 'key'), i = make('i'), value = make('em');
    i.style.borderTopColor = colour;
    e.append(i, `${name} `, value);
    head.append(e);
    return value;
  };

  const chart = (c) => {
    const narrow = innerWidth <= 640;
    const box = make('div', 'chart'), head = make('div', 'head');
    const colours = [css('--dim'), css('--c0')];
    head.append(make('b', '', c.title));
    const keys = [key(head, colours[0], 'base'), key(head, colours[1], 'new')];
    box.append(head);
    host.append(box);
    // Columns of the runs need not lie at the same instants.
    const joined = uPlot.join(c.lines.map((l) => [l.values.map((_, i) => (i + 0.5) * l.step), l.values]));
    const of = (isNew, i) => c.lines.flatMap((l, n) => (l.new === isNew ? [joined[n + 1][i]] : []));
    const whole = [false, true].map((n) => mean(c.lines.filter((l) => l.new === n).flatMap((l) => l.values)));
    const tell = (values, what) => keys.forEach((k, n) => { k.textContent = `${what}${show(values[n], c.unit)}`; });
    tell(whole, 'mean ');
    box.setAttribute('role', 'img');
    box.setAttribute('aria-label', `${c.title}: base mean ${show(whole[0], c.unit)}, new mean ${show(whole[1], c.unit)}`);
    const axis = { stroke: css('--dim'), font: '11px system-ui', grid: { stroke: css('--grid'), width: 1 }, ticks: { show: false } };
    plots.push(new uPlot({
      width: Math.max(box.clientWidth, 200), height: 120, legend: { show: false }, padding: [6, 12, 0, 0],
      cursor: { sync: { key: 'run' }, y: false, drag: { x: true, y: false } },
      scales: { x: { time: false, range: (_u, low, high) => (zoomed(low, high) ? [low, high] : [0, end]) }, y: { range: (_u, low, high) => [Math.min(0, low ?? 0), (high || 1) * 1.08] } },
      axes: [{ ...axis, values: (_u, v) => v.map(clock) }, { ...axis, size: narrow ? 52 : 60, values: (_u, v) => v.map(digits) }],
      series: [{}, ...c.lines.map((l) => ({ stroke: colours[Number(l.new)], width: 1.4, spanGaps: true, points: { show: false } }))],
      hooks: { setCursor: [(u) => {
        const i = u.cursor.idx;
        if (i === null || i === undefined || u.cursor.left < 0) tell(whole, 'mean ');
        else tell([mean(of(false, i)), mean(of(true, i))], `at ${clock(joined[0][i])} `);
      }] },
    }, joined, box));
  };

  const draw = () => {
    plots.splice(0).forEach((u) => u.destroy());
    host.textContent = '';
    data.charts.forEach(chart);
  };
  draw();
  let timer, width = innerWidth;
  addEventListener('resize', () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(timer);
    timer = setTimeout(draw, 150);
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
})();

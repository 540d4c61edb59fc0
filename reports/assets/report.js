'use strict';
// Draws the report's charts. All text is set as text, never as HTML: names come from the target.
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const charts = document.getElementById('charts');
  const width = () => charts.clientWidth || 800;
  const LEFT = 56;
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const palette = dark
    ? ['#6cb2f0', '#f2a65a', '#7fd1a5', '#d59ae8', '#e8d06a']
    : ['#1a5a96', '#b3590a', '#1a7f4b', '#7a3a93', '#7d6600'];
  const dashes = [[], [6, 3], [2, 3], [8, 3, 2, 3], [1, 4]];
  const markColour = { critical: css('--bad'), warning: css('--warn'), info: css('--dim') };
  const all = [];

  const shade = (u) => {
    const { ctx, bbox } = u;
    const band = (from, to, colour, alpha) => {
      const a = Math.max(u.valToPos(from, 'x', true), bbox.left);
      const b = Math.min(u.valToPos(to, 'x', true), bbox.left + bbox.width);
      if (b <= a) return;
      ctx.save();
      ctx.globalAlpha = alpha;
      ctx.fillStyle = colour;
      ctx.fillRect(a, bbox.top, Math.max(b - a, 2), bbox.height);
      ctx.restore();
    };
    data.phases.filter((p) => p.class === 'warmup').forEach((p) => band(p.from, p.to, css('--dim'), 0.12));
    data.marks.forEach((m) => band(m.from, m.to, markColour[m.class], 0.1));
    data.marks.forEach((m) => band(m.from, m.from, markColour[m.class], 0.9));
  };

  const axis = (extra) => ({ stroke: css('--dim'), grid: { stroke: css('--grid'), width: 1 }, ticks: { stroke: css('--grid'), width: 1 }, font: '11px system-ui', ...extra });
  const clock = (s) => `${String(Math.floor(s / 60)).padStart(2, '0')}:${String(Math.floor(s % 60)).padStart(2, '0')}`;

  const chart = (c, last) => {
    const host = document.createElement('div');
    host.className = 'chart';
    charts.appendChild(host);
    const log = c.unit === 'ms';
    const positive = (v) => (v === null || (log && v <= 0) ? null : v);
    const values = [data.t, ...c.series.map((s) => s.values.map(positive))];
    const u = new uPlot({
      title: c.title + (c.unit ? ` (${c.unit})` : ''),
      width: width(), height: last ? 130 : 118,
      cursor: { sync: { key: 'run' }, y: false, points: { size: 5 } },
      scales: { x: { time: false }, y: log ? { distr: 3 } : { range: (_u, lo, hi) => [Math.min(0, lo), hi > 0 ? hi * 1.08 : 1] } },
      axes: [axis({ size: 26, values: (_u, v) => v.map(clock) }), axis({ size: LEFT, values: (_u, v) => v.map((x) => (x === null ? '' : x >= 10000 ? `${x / 1000}k` : String(x))) })],
      series: [
        { label: 'time', value: (_u, v) => (v === null ? '–' : `${v.toFixed(1)} s`) },
        ...c.series.map((s, i) => ({
          label: s.name + (s.quality ? ` (${s.quality})` : ''),
          stroke: palette[i % palette.length], dash: dashes[i % dashes.length], width: 1.5, spanGaps: false, points: { show: false },
          value: (_u, v) => (v === null ? '–' : `${v} ${c.unit}`),
        })),
      ],
      hooks: { drawClear: [shade], setScale: [follow] },
    }, values, host);
    all.push(u);
  };

  // One zoom for all charts.
  let following = false;
  function follow(u, key) {
    if (key !== 'x' || following) return;
    following = true;
    const { min, max } = u.scales.x;
    all.forEach((o) => { if (o !== u) o.setScale('x', { min, max }); });
    heat(min, max);
    following = false;
  }

  const canvasIn = (id, height) => {
    const host = document.getElementById(id);
    host.textContent = '';
    const canvas = document.createElement('canvas');
    const ratio = devicePixelRatio || 1;
    canvas.width = width() * ratio;
    canvas.height = height * ratio;
    canvas.style.width = `${width()}px`;
    canvas.style.height = `${height}px`;
    host.appendChild(canvas);
    const ctx = canvas.getContext('2d');
    ctx.scale(ratio, ratio);
    ctx.font = '11px system-ui';
    ctx.fillStyle = css('--dim');
    return ctx;
  };
  const ms = (v) => (v >= 1000 ? `${v / 1000} s` : `${v} ms`);

  // Darkness is the logarithm of the count; rows are fixed for all runs, so that two can be compared.
  function heat(min, max) {
    const used = data.heat.columns.reduce((n, c) => Math.max(n, c.length), 1);
    const height = 170, rows = Math.min(used + 1, data.heat.edges_ms.length - 1);
    const ctx = canvasIn('heat', height + 22);
    const most = Math.log(1 + data.heat.columns.reduce((n, c) => Math.max(n, ...c, 0), 1));
    const lo = min ?? 0, hi = max ?? (data.t.length ? data.t[data.t.length - 1] : 1);
    const plot = width() - LEFT - 8, cell = height / rows;
    const step = data.t.length > 1 ? data.t[1] - data.t[0] : 1;
    const x = (t) => LEFT + ((t - lo) / Math.max(hi - lo, 1e-9)) * plot;
    ctx.fillText('Response time, darker = more', LEFT, 10);
    ctx.save();
    ctx.beginPath();
    ctx.rect(LEFT, 16, plot, height);
    ctx.clip();
    data.heat.columns.forEach((column, c) => column.forEach((count, r) => {
      if (!count) return;
      ctx.fillStyle = `rgba(${css('--heat')},${0.12 + 0.88 * Math.log(1 + count) / most})`;
      const left = x(data.t[c] - step / 2);
      ctx.fillRect(left, 16 + height - (r + 1) * cell, Math.max(x(data.t[c] + step / 2) - left, 1) + 0.5, cell + 0.5);
    }));
    ctx.restore();
    ctx.fillStyle = css('--dim');
    for (let r = 0; r <= rows; r += 6) ctx.fillText(ms(data.heat.edges_ms[r]), 4, 16 + height - r * cell + 4);
  }

  // x is the logarithm of 1/(1-q): each nine takes the same room.
  const percentiles = () => {
    const curves = data.percentiles.filter((c) => c.points.length > 1);
    if (!curves.length) return;
    const height = 190, ctx = canvasIn('percentiles', height + 40);
    const points = curves.flatMap((c) => c.points);
    const top = Math.log10(Math.max(...points.map((p) => p[1]), 1e-3) * 1.2);
    const bottom = Math.log10(Math.max(Math.min(...points.map((p) => p[1])), 1e-3) * 0.8);
    const right = Math.log10(Math.max(...points.map((p) => p[0]), 10));
    const plot = width() - LEFT - 16;
    const at = ([q, v]) => [LEFT + (Math.log10(q) / right) * plot, 16 + height - ((Math.log10(Math.max(v, 1e-3)) - bottom) / (top - bottom)) * height];
    ctx.strokeStyle = css('--grid');
    ['0', '90', '99', '99.9', '99.99', '99.999'].forEach((label, i) => {
      if (i > right + 0.01) return;
      const x = LEFT + (i / right) * plot;
      ctx.beginPath(); ctx.moveTo(x, 16); ctx.lineTo(x, 16 + height); ctx.stroke();
      ctx.fillText(`${label} %`, x - 8, height + 32);
    });
    for (let e = Math.ceil(bottom); e <= top; e += 1) {
      const y = at([1, 10 ** e])[1];
      ctx.beginPath(); ctx.moveTo(LEFT, y); ctx.lineTo(LEFT + plot, y); ctx.stroke();
      ctx.fillText(ms(Number((10 ** e).toPrecision(1))), 4, y + 4);
    }
    curves.forEach((c, i) => {
      ctx.strokeStyle = palette[i]; ctx.fillStyle = palette[i]; ctx.lineWidth = 2; ctx.setLineDash(dashes[i]);
      ctx.beginPath();
      c.points.forEach((p, j) => { const [x, y] = at(p); if (j) ctx.lineTo(x, y); else ctx.moveTo(x, y); });
      ctx.stroke();
      ctx.fillText(`${i ? '- -' : '—'} ${c.name}`, LEFT + 8 + i * 130, 12);
    });
  };

  const draw = () => {
    all.splice(0).forEach((u) => u.destroy());
    charts.textContent = '';
    heat();
    data.charts.forEach((c, i) => chart(c, i === data.charts.length - 1));
    percentiles();
  };
  draw();
  let timer;
  addEventListener('resize', () => { clearTimeout(timer); timer = setTimeout(draw, 150); });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => location.reload());
})();

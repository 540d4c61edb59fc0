// Draws the report's charts on one time axis. All text is set as text, never as HTML: names come from the target.
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const $ = (id) => document.getElementById(id);
  const { css, make, digits, show, clock } = figures;
  const narrow = () => innerWidth <= 640;
  const left = () => (narrow() ? 52 : 60);
  const RIGHT = 12;
  const charts = [];
  let colours, view = [0, data.end];

  const readColours = () => {
    colours = {
      dim: css('--dim'), grid: css('--grid'), fg: css('--fg'), bg: css('--bg'), heat: css('--heat'), p50: css('--p50'), p99: css('--p99'),
      lines: ['--c0', '--c1', '--c2', '--c3'].map(css),
      mark: { critical: css('--bad'), warning: css('--warn'), info: css('--dim') },
    };
  };
  const DASHES = [[], [5, 3], [2, 2], [8, 3, 2, 3]];

  // ---- what lies under every chart: warm-up, findings ----
  const under = (u) => {
    const { ctx, bbox } = u;
    const x = (t) => u.valToPos(t, 'x', true);
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    const fill = (from, to, colour, alpha) => {
      ctx.globalAlpha = alpha;
      ctx.fillStyle = colour;
      ctx.fillRect(x(from), bbox.top, x(to) - x(from), bbox.height);
    };
    data.phases.filter((p) => p.class === 'warmup').forEach((p) => fill(p.from, p.to, colours.dim, 0.1));
    data.changes.filter((c) => c.class === 'halt').forEach((c) => fill(c.from, c.to, colours.dim, 0.25));
    data.findings.forEach((f) => fill(f.from, f.to, colours.mark[f.class], 0.07));
    data.findings.forEach((f) => {
      ctx.globalAlpha = 0.75;
      ctx.fillStyle = colours.mark[f.class];
      ctx.fillRect(x(f.from) - 0.5 * devicePixelRatio, bbox.top, devicePixelRatio, bbox.height);
    });
    ctx.restore();
  };
  const clipped = (u, draw) => {
    u.ctx.save();
    u.ctx.beginPath();
    u.ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
    u.ctx.clip();
    draw(u.ctx);
    u.ctx.restore();
  };
  const limitLines = (limits) => (u) => clipped(u, (ctx) => {
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.lineWidth = devicePixelRatio;
    limits.forEach((l) => {
      const y = u.valToPos(l.value, 'y', true);
      ctx.strokeStyle = l.fails ? colours.mark.critical : colours.fg;
      ctx.beginPath(); ctx.moveTo(u.bbox.left, y); ctx.lineTo(u.bbox.left + u.bbox.width, y); ctx.stroke();
    });
  });

  // ---- scales ----
  const decades = (values) => {
    const all = values.filter((v) => v > 0);
    if (!all.length) return [0.1, 10];
    const lo = Math.floor(Math.log10(all.reduce((a, b) => Math.min(a, b)))), hi = Math.ceil(Math.log10(all.reduce((a, b) => Math.max(a, b)) * 1.02));
    return [10 ** lo, 10 ** Math.max(hi, lo + 1)];
  };
  const linear = (values) => {
    const all = values.filter((v) => v !== null);
    const lo = all.reduce((a, b) => Math.min(a, b), 0), hi = all.reduce((a, b) => Math.max(a, b), 0);
    return [lo < 0 ? lo * 1.08 : 0, hi > 0 ? hi * 1.12 : 1];
  };
  const isDecade = (v) => v > 0 && Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-6;

  // Labels and grid stand at powers of ten, at every second one where there are many.
  const powers = (u, splits) => {
    const { min, max } = u.scales.y;
    const every = u.bbox.height / devicePixelRatio / Math.log10(max / min) < 18 ? 2 : 1;
    return splits.map((v) => (isDecade(v) && Math.round(Math.log10(v)) % every === 0 ? v : null));
  };
  const all = (_u, splits) => splits;
  const axes = (unit, log, withTime) => {
    const common = { stroke: colours.dim, font: '11px system-ui, sans-serif', ticks: { show: false } };
    return [
      { ...common, show: withTime, size: withTime ? 24 : 0, gap: 6, grid: { stroke: colours.grid, width: 1 }, space: 70, values: (_u, v) => v.map(clock) },
      {
        ...common, size: left(), gap: 6, space: log ? 4 : 30,
        grid: { stroke: colours.grid, width: 1, filter: log ? powers : all }, filter: log ? powers : all,
        values: (_u, v) => v.map((x) => (x === null ? '' : show(x, unit))),
      },
    ];
  };

  const chartBox = (host, title) => {
    const box = make('div', 'chart');
    const head = make('div', 'head');
    head.append(make('b', '', title));
    box.append(head);
    host.append(box);
    return { box, head };
  };
  const key = (head, name, style) => {
    const k = make('span', 'key');
    const line = make('i', style.className || '');
    if (style.colour) line.style.borderTopColor = style.colour;
    const value = make('em');
    k.append(line, name ? `${name} ` : '', value);
    head.append(k);
    return value;
  };
  const limitKeys = (head, limits) => limits.forEach((l) => { key(head, '', { className: 'limit' }).textContent = `gate ${l.that}`; });

  // Adds a chart. `keys` are the legend's values: element, column values, unit, and what is shown without a cursor.
  const add = (box, head, { height, step, unit, log, range, columns, draw, keys, withTime, label }) => {
    box.setAttribute('role', 'img');
    box.setAttribute('aria-label', label);
    const x = Array.from({ length: columns }, (_, i) => (i + 0.5) * step);
    const rest = () => keys.forEach((k) => { k.value.textContent = k.rest; });
    rest();
    const u = new uPlot({
      width: Math.max(box.clientWidth, 200), height: height + (withTime ? 24 : 0), legend: { show: false }, padding: [6, RIGHT, 7, 0],
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, uni: 10 }, sync: { key: 'run', scales: ['x', null] } },
      scales: { x: { time: false, range: () => view }, y: { distr: log ? 3 : 1, range: () => range } },
      axes: axes(unit, log, withTime),
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: {
        drawAxes: [under], draw: [draw],
        setSelect: [(s) => { if (s.select.width > 4) zoom(s.posToVal(s.select.left, 'x'), s.posToVal(s.select.left + s.select.width, 'x')); }],
        setCursor: [(s) => {
          const i = s.cursor.left < 0 || s.cursor.left === undefined ? null : Math.floor(s.posToVal(s.cursor.left, 'x') / step);
          if (i === null || i < 0 || i >= columns) rest();
          else keys.forEach((k) => { k.value.textContent = k.at(i); });
        }],
      },
    }, [x, x.map(() => range[0])], box);
    u.over.addEventListener('dblclick', () => zoom(0, data.end));
    charts.push(u);
  };

  const greatest = (list) => list.reduce((a, b) => (b !== null && (a === null || b > a) ? b : a), null);

  // ---- response time: heatmap with p50 and p99 ----
  const heat = () => {
    const h = data.heat;
    if (!h.columns.some((c) => c.length)) return;
    const { box, head } = chartBox($('charts'), 'Response time');
    const used = h.columns.flatMap((c) => c.filter((_, i) => i % 2 === 0));
    const [lowRow, topRow] = [used.reduce((a, b) => Math.min(a, b)), used.reduce((a, b) => Math.max(a, b)) + 1];
    const limits = h.limits.filter((l) => l.value > 0);
    const range = [Math.min(h.edges[lowRow], ...limits.map((l) => l.value * 0.8)), Math.max(h.edges[Math.min(topRow, h.edges.length - 1)], ...limits.map((l) => l.value * 1.25))];
    const most = Math.log1p(h.columns.reduce((m, c) => c.reduce((a, n, i) => (i % 2 ? Math.max(a, n) : a), m), 1));
    const keys = [
      { value: key(head, 'p99', { colour: colours.p99 }), rest: `most ${show(greatest(h.p99), 'ms')}`, at: (i) => show(h.p99[i], 'ms') },
      { value: key(head, 'p50', { colour: colours.p50 }), rest: `most ${show(greatest(h.p50), 'ms')}`, at: (i) => show(h.p50[i], 'ms') },
    ];
    limitKeys(head, limits);
    head.append(make('span', '', 'darker: more responses'));
    const lines = limitLines(limits);
    const draw = (u) => {
      clipped(u, (ctx) => {
        const x = (t) => u.valToPos(t, 'x', true), y = (v) => u.valToPos(v, 'y', true);
        h.columns.forEach((column, c) => {
          const a = x(c * h.step), w = Math.max(x((c + 1) * h.step) - a - (u.bbox.width > h.columns.length * 4 ? 1 : 0), 1);
          for (let i = 0; i < column.length; i += 2) {
            const top = y(h.edges[column[i] + 1] ?? h.edges[column[i]] * 1.47), bottom = y(h.edges[column[i]]);
            ctx.fillStyle = `rgba(${colours.heat},${(0.1 + 0.8 * Math.log1p(column[i + 1]) / most).toFixed(3)})`;
            ctx.fillRect(a, top, w, bottom - top);
          }
        });
        [[h.p50, colours.p50], [h.p99, colours.p99]].forEach(([values, colour]) => {
          ctx.strokeStyle = colour;
          ctx.lineWidth = 2 * devicePixelRatio;
          steps(ctx, values, h.step, x, y);
        });
      });
      lines(u);
    };
    add(box, head, { height: narrow() ? 150 : 200, step: h.step, unit: 'ms', log: true, range, columns: h.columns.length, draw, keys, withTime: true, label: `Response time over the run: p50 at most ${show(greatest(h.p50), 'ms')}, p99 at most ${show(greatest(h.p99), 'ms')}` });
  };

  // A level for each column, joined where columns follow each other.
  const steps = (ctx, values, step, x, y) => {
    ctx.beginPath();
    let open = false;
    values.forEach((v, i) => {
      if (v === null) { open = false; return; }
      if (open) ctx.lineTo(x(i * step), y(v)); else ctx.moveTo(x(i * step), y(v));
      ctx.lineTo(x((i + 1) * step), y(v));
      open = true;
    });
    ctx.stroke();
  };

  // ---- lanes ----
  const lane = (host, c, withTime) => {
    const { box, head } = chartBox(host, c.title);
    const log = c.unit === 'ms';
    const drawn = c.series.flatMap((s) => [...s.mid, ...(s.low || []), ...(s.high || [])]);
    let range = (log ? decades : linear)(drawn);
    // A limit far above everything would press the lane flat; then it is only named.
    const limits = c.limits.filter((l) => (log ? l.value > 0 : l.value <= range[1] * 4));
    range = (log ? decades : linear)([...drawn, ...limits.map((l) => l.value)]);
    const colour = (i) => colours.lines[i % colours.lines.length];
    const keys = c.series.map((s, i) => {
      const top = greatest(s.high && s.high.length ? s.high : s.mid);
      const name = s.name + (s.quality ? ` (${s.quality})` : '');
      const value = key(head, name, { colour: colour(i), className: i % DASHES.length && !c.times ? 'dashed' : '' });
      const has = s.low && s.low.length;
      const at = (j) => {
        if (!has || s.mid[j] === null) return show(s.mid[j], c.unit);
        if (c.times) return `p50 ${show(s.low[j], c.unit)}, p99 ${show(s.mid[j], c.unit)}, max ${show(s.high[j], c.unit)}`;
        return s.low[j] === s.high[j] ? show(s.mid[j], c.unit) : `${show(s.low[j], c.unit)} to ${show(s.high[j], c.unit)}`;
      };
      return { value, rest: `${c.times ? 'max' : 'most'} ${show(top, c.unit)}`, at };
    });
    limitKeys(head, c.limits);
    const lines = limitLines(limits);
    const draw = (u) => {
      clipped(u, (ctx) => {
        const x = (t) => u.valToPos(t, 'x', true), y = (v) => u.valToPos(log ? Math.max(v, range[0]) : v, 'y', true);
        c.series.forEach((s, i) => (c.times ? bars : curve)(ctx, s, c.step, x, y, colour(i), DASHES[i % DASHES.length]));
      });
      lines(u);
    };
    const columns = c.series.reduce((n, s) => Math.max(n, s.mid.length), 0);
    const label = `${c.title}: ${c.series.map((s, i) => `${s.name} ${keys[i].rest}`).join(', ')}`;
    add(box, head, { height: narrow() ? 70 : 86, step: c.step, unit: c.unit, log, range, columns, draw, keys, withTime, label });
  };

  // Levels: a line through the means, and between least and greatest a band.
  const curve = (ctx, s, step, x, y, colour, dash) => {
    const mid = (i) => x((i + 0.5) * step);
    if (s.low && s.low.length) {
      ctx.fillStyle = colour;
      ctx.globalAlpha = 0.22;
      s.mid.forEach((v, i) => {
        if (v === null) return;
        const top = y(s.high[i]), bottom = y(s.low[i]);
        ctx.fillRect(x(i * step), top, x((i + 1) * step) - x(i * step) + 0.5, Math.max(bottom - top, 1));
      });
      ctx.globalAlpha = 1;
    }
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.lineJoin = 'round';
    ctx.setLineDash(dash.map((d) => d * devicePixelRatio));
    ctx.beginPath();
    let open = false;
    s.mid.forEach((v, i) => {
      if (v === null) { open = false; return; }
      if (open) ctx.lineTo(mid(i), y(v)); else { ctx.moveTo(mid(i) - 1, y(v)); ctx.lineTo(mid(i), y(v)); }
      open = true;
    });
    ctx.stroke();
    ctx.setLineDash([]);
  };

  // Histograms: from median to greatest a pale bar, at the p99 a stroke.
  const bars = (ctx, s, step, x, y, colour) => {
    const low = s.low && s.low.length ? s.low : s.mid, high = s.high && s.high.length ? s.high : s.mid;
    s.mid.forEach((v, i) => {
      if (v === null) return;
      const a = x(i * step), w = Math.max(x((i + 1) * step) - a, devicePixelRatio);
      ctx.fillStyle = colour;
      ctx.globalAlpha = 0.28;
      ctx.fillRect(a, y(high[i]), w, Math.max(y(low[i]) - y(high[i]), 1));
      ctx.globalAlpha = 1;
      ctx.fillRect(a, y(v) - devicePixelRatio, w, 2 * devicePixelRatio);
    });
  };

  // ---- findings and phases above the charts, as the same axis ----
  const track = () => {
    const host = $('track');
    host.textContent = '';
    const [from, to] = view, span = to - from;
    const place = (e, a, b) => {
      const [x, y] = [Math.max(a, from), Math.min(b, to)];
      if (y < x || a > to || b < from) return null;
      e.style.left = `${100 * (x - from) / span}%`;
      e.style.width = `${Math.max(100 * (y - x) / span, 0.15)}%`;
      return (y - x) / span;
    };
    const strip = (stretches) => {
      const row = make('div', 'phases');
      stretches.forEach((p) => {
        const e = make('span', '', p.name + (p.class === 'warmup' ? ' (warm-up)' : ''));
        if (place(e, p.from, p.to) !== null) row.append(e);
      });
      return row;
    };
    const marks = make('div', 'marks');
    data.findings.forEach((f) => {
      const row = make('div'), e = make('a', f.class);
      e.href = `#${encodeURIComponent(f.id)}`;
      e.tabIndex = -1;
      const share = place(e, f.from, f.to);
      if (share === null) return;
      // A name that does not fit into its bar stands beside it, where there is room; else the number alone.
      const wide = f.name.length * 6.6 + 14, room = (t) => (t / span) * host.clientWidth;
      const [inside, after, before] = [share * host.clientWidth, room(to - f.to), room(f.from - from)].map((w) => w >= wide);
      e.append(make('span', '', inside || after || before ? f.name : f.id));
      if (!inside && (after || before)) e.classList.add('out', ...(after ? [] : ['flip']));
      row.append(e);
      marks.append(row);
    });
    host.append(strip(data.phases), ...(data.changes.length ? [strip(data.changes)] : []), marks);
  };

  const zoom = (a, b) => {
    const [from, to] = [Math.max(0, Math.min(a, b)), Math.min(data.end, Math.max(a, b))];
    if (to - from < 0.2) return;
    view = [from, to];
    charts.forEach((u) => {
      if (u.select.width) u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      if (u.scales.y.distr !== 4) u.setScale('x', { min: from, max: to });
    });
    track();
  };

  // ---- percentiles: each nine takes the same room ----
  let curvesPlot;
  const percentiles = () => {
    const host = $('curves');
    host.textContent = '';
    if (curvesPlot) curvesPlot.destroy();
    curvesPlot = undefined;
    const curves = data.curves.filter((c) => c.points.length > 2);
    if (!curves.length) return;
    const { box, head } = chartBox(host, 'Percentiles');
    const xs = [...new Set(curves.flatMap((c) => c.points.map((p) => p[0])))].sort((a, b) => a - b);
    const rows = curves.map((c) => { const m = new Map(c.points); return xs.map((x) => m.get(x) ?? null); });
    const values = curves.map((c, i) => key(head, c.name, { colour: colours.lines[i], className: i ? 'dashed' : '' }));
    const name = (x) => { const q = 100 * (1 - 1 / x); return `p${Number(q.toFixed(q > 99 ? 4 : q > 90 ? 2 : 1))}`; };
    const at = make('span');
    head.append(at);
    box.setAttribute('role', 'img');
    box.setAttribute('aria-label', 'Percentiles of response and service time; the table below has the figures');
    curvesPlot = new uPlot({
      width: Math.max(box.clientWidth, 200), height: narrow() ? 170 : 220, legend: { show: false }, padding: [8, RIGHT, 2, 0],
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { time: false, range: () => [0, Math.log10(xs[xs.length - 1])] }, y: { distr: 3, range: () => decades(rows.flat()) } },
      axes: [
        { ...axes('ms', true, true)[0], space: 40, splits: () => [0, Math.log10(2), 1, 2, 3, 4, 5, 6].filter((d) => d <= Math.log10(xs[xs.length - 1]) + 0.01), values: (_u, v) => v.map((d) => (d === 0 ? 'min' : name(10 ** d))) },
        axes('ms', true, true)[1],
      ],
      series: [{}, ...curves.map((_, i) => ({ stroke: colours.lines[i], width: 2, dash: DASHES[i], points: { show: false }, spanGaps: true }))],
      hooks: { setCursor: [(u) => {
        const i = u.cursor.idx;
        at.textContent = i === null || i === undefined ? '' : `at ${name(xs[i])}`;
        values.forEach((v, c) => { v.textContent = i === null || i === undefined ? '' : show(rows[c][i], 'ms'); });
      }] },
    }, [xs.map(Math.log10), ...rows], box);
  };

  const others = data.charts.filter((c) => c.folded);
  // Opened before the first drawing, they are drawn with the rest.
  const drawOthers = () => { if (colours && $('more').open && !$('others').firstChild) others.forEach((c) => lane($('others'), c, true)); };
  // Draws all at once, or in parts between which the page can be read and scrolled: hundreds of charts take seconds.
  const PART_MS = 40;
  let rest;
  const draw = (inParts) => {
    clearTimeout(rest);
    readColours();
    charts.splice(0).forEach((u) => u.destroy());
    $('charts').textContent = '';
    $('others').textContent = '';
    heat();
    const main = data.charts.filter((c) => !c.folded);
    track();
    percentiles();
    // What stands below must not move while charts come: each takes about so many pixels.
    $('charts').style.minHeight = `${main.length * (narrow() ? 104 : 120)}px`;
    let next = 0;
    const part = () => {
      const until = performance.now() + PART_MS;
      while (next < main.length && !(inParts && performance.now() > until)) {
        lane($('charts'), main[next], next === main.length - 1);
        next += 1;
      }
      if (next < main.length) {
        rest = setTimeout(part);
      } else {
        $('charts').style.minHeight = '';
        drawOthers();
      }
    };
    part();
  };

  $('more').hidden = !others.length;
  $('more').addEventListener('toggle', drawOthers);
  $('whole').addEventListener('click', () => zoom(0, data.end));
  document.querySelectorAll('button.show').forEach((b) => b.addEventListener('click', () => {
    const f = data.findings.find((m) => m.id === b.dataset.finding);
    if (!f) return;
    const margin = Math.max((f.to - f.from) * 0.25, 2);
    zoom(f.from - margin, f.to + margin);
    $('h-run').scrollIntoView();
  }));
  // What is text is painted before anything is drawn. A browser that a program drives may take its picture once the page is loaded.
  if (navigator.webdriver) draw(false);
  else requestAnimationFrame(() => { rest = setTimeout(() => draw(true)); });
  let timer, width = innerWidth;
  addEventListener('resize', () => {
    if (innerWidth === width) return; // a phone's address bar comes and goes
    width = innerWidth;
    clearTimeout(timer);
    timer = setTimeout(() => draw(true), 150);
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => draw(true));
  // Paper has one width: what a browser makes of the canvases is drawn anew before and after.
  addEventListener('beforeprint', () => draw(false));
  addEventListener('afterprint', () => draw(true));
})();

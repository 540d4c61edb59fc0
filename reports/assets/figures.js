'use strict';
// What the scripts of both pages share: elements, colours, figures as text.
const figures = (() => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const make = (tag, className, text) => {
    const e = document.createElement(tag);
    if (className) e.className = className;
    if (text !== undefined) e.textContent = text;
    return e;
  };

  // Three significant digits.
  const digits = (v) => {
    const a = Math.abs(v);
    if (a === 0) return '0';
    if (a >= 1000) return v.toLocaleString('en', { maximumFractionDigits: 0 });
    return String(Number(v.toPrecision(3)));
  };
  const show = (v, unit) => {
    if (v === null || v === undefined) return '–';
    if (unit === 'ms') return v >= 1000 ? `${digits(v / 1000)} s` : v >= 1 || v === 0 ? `${digits(v)} ms` : `${digits(v * 1000)} us`;
    if (unit === 'MiB' && Math.abs(v) >= 1024) return `${digits(v / 1024)} GiB`;
    return unit === '/s' ? `${digits(v)}/s` : unit ? `${digits(v)} ${unit}` : digits(v);
  };
  const clock = (s) => {
    // Rounded first: 5.96 is 6.0, which is a second more.
    const tenths = Math.round(s * 10), whole = Math.floor(tenths / 10), rest = tenths % 10, two = (n) => String(n).padStart(2, '0');
    const base = whole >= 3600 ? `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}` : `${two(Math.floor(whole / 60))}:${two(whole % 60)}`;
    return rest > 0 ? `${base}.${rest}` : base;
  };

  return { css, make, digits, show, clock };
})();

// Opens a report in headless Chromium, on a desk, on a phone, on paper, light and dark, and prints what is wrong with it as one
// JSON object. With a folder as second argument it leaves pictures there, for people. PAINTS says how often the page is opened for the
// median of its first paint; with BRIEF it is only looked at on a desk in the light, and not printed.
import { pathToFileURL } from 'node:url';
import puppeteer from 'puppeteer-core';

const [file, pictures] = process.argv.slice(2);
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });
const said = { errors: [], requests: [], wide: {}, contrast: {}, paint_ms: null, at_once: 0 };
const page = await browser.newPage();
page.setDefaultTimeout(120_000);
page.on('console', (m) => { if (['error', 'warn'].includes(m.type())) said.errors.push(m.text()); });
page.on('pageerror', (e) => said.errors.push(String(e)));
const url = pathToFileURL(file).href;
page.on('request', (r) => { if (r.url().split('#')[0] !== url && !r.url().startsWith('data:')) said.requests.push(r.url()); });

// What cannot be read: text on its background below WCAG's 4.5 to 1 (3 to 1 where it is large).
const contrast = () => {
  const rgb = (c) => c.match(/[\d.]+/g).map(Number);
  const lum = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0.99) return c; } return [255, 255, 255]; };
  const bad = new Set();
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility() || e.closest('script,style,canvas,noscript,#track')) continue;
    const style = getComputedStyle(e), [a, b] = [lum(rgb(style.color)), lum(behind(e))].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24 || parseFloat(style.fontSize) >= 18.6 && Number(style.fontWeight) >= 700;
    if ((a + 0.05) / (b + 0.05) < (large ? 3 : 4.5)) bad.add(`${e.tagName}.${e.className}: ${e.textContent.trim().slice(0, 30)}`);
  }
  return [...bad];
};

// On a busy machine a page is painted long after it is loaded.
const open = async () => {
  await page.goto(url, { waitUntil: 'load' });
  await page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint').length > 0);
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
};

const sizes = { desk: { width: 1280, height: 800 }, phone: { width: 360, height: 740, isMobile: true, hasTouch: true, deviceScaleFactor: 2 } };
const brief = Boolean(process.env.BRIEF);

// Canvases with something on them.
const charts = () => [...document.querySelectorAll('#charts canvas')].filter((c) => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; return d.some((v) => v !== 0); }).length;

// As a program that takes a picture sees it once it is loaded: the charts are there. From then on as people do.
await page.setViewport(sizes.desk);
await page.goto(url, { waitUntil: 'load' });
said.at_once = await page.evaluate(charts);
await page.evaluateOnNewDocument(() => Object.defineProperty(Navigator.prototype, 'webdriver', { get: () => false, configurable: true }));
for (const [size, viewport] of Object.entries(sizes).slice(0, brief ? 1 : 2)) {
  for (const scheme of brief ? ['light'] : ['light', 'dark']) {
    await page.setViewport(viewport);
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    await open();
    await page.evaluate(() => document.querySelectorAll('details').forEach((d) => { d.open = true; }));
    await new Promise((done) => setTimeout(done, 100));
    said.wide[`${size} ${scheme}`] = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    said.contrast[`${size} ${scheme}`] = await page.evaluate(contrast);
    if (pictures) {
      await page.screenshot({ path: `${pictures}/${size}-${scheme}.png` });
      await page.screenshot({ path: `${pictures}/${size}-${scheme}-whole.png`, fullPage: true });
    }
    if (size === 'desk' && scheme === 'light') {
      const paints = [];
      for (let i = 0; i < Number(process.env.PAINTS ?? 1); i += 1) {
        if (i > 0) await open();
        paints.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0].startTime));
      }
      said.paint_ms = paints.sort((a, b) => a - b)[Math.floor(paints.length / 2)];
      said.charts = await page.evaluate(charts);
    }
  }
}
// What a screen reader is told: every control, picture, table and landmark has a name; headings leave out no level.
const tree = await page.accessibility.snapshot({ interestingOnly: false });
const nameless = [];
const walk = (node, depth) => {
  if (['button', 'link', 'image', 'img', 'table', 'region'].includes(node.role) && !node.name) nameless.push(`${node.role} at ${depth}`);
  (node.children ?? []).forEach((child) => walk(child, depth + 1));
};
walk(tree, 0);
said.nameless = nameless;
said.headings = await page.evaluate(() => [...document.querySelectorAll('h1,h2,h3,h4')].map((h) => Number(h.tagName[1])));
said.unnamed_regions = await page.evaluate(() => [...document.querySelectorAll('[role=region],[role=img],img')].filter((e) => !(e.getAttribute('alt') || e.getAttribute('aria-label') || document.getElementById(e.getAttribute('aria-labelledby'))?.textContent.trim())).length);
// Times as the page writes them, near the second and the minute that they round to.
said.clock = await page.evaluate(() => [5, 5.94, 5.96, 59.97, 3599.96].map((s) => figures.clock(s)));
said.lang = await page.evaluate(() => document.documentElement.lang);
if (!brief) {
  await page.emulateMediaFeatures([]);
  const pdf = await page.pdf({ format: 'a4' });
  said.pdf_bytes = pdf.length;
  said.pdf_pages = Buffer.from(pdf).toString('latin1').split(/\/Type\s*\/Page\b/).length - 1;
  if (pictures) (await import('node:fs')).writeFileSync(`${pictures}/paper.pdf`, pdf);
}
await browser.close();
console.log(JSON.stringify(said));

// Reads a folder of reports with readers from npm, and prints what they say as one JSON object.
import { readFileSync, readdirSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { HistogramLogReader, build, initWebAssembly } from 'hdr-histogram-js';
import { parse } from 'junit2json';
import { Profile } from 'pprof-format';

const folder = process.argv[2];
const said = {};

await initWebAssembly();
const reader = new HistogramLogReader(readFileSync(`${folder}/response.hlog`, 'utf8'), 64, true);
const total = build({ useWebAssembly: true, bitBucketSize: 64, numberOfSignificantValueDigits: 3 });
for (let h; (h = reader.nextIntervalHistogram()) !== null;) total.add(h);
said.hlog = total.totalCount;
said.hlog_p99_us = [-1, 1].map((step) => total.getValueAtPercentile(99 + step * 100 / total.totalCount));

const junit = await parse(readFileSync(`${folder}/junit.xml`, 'utf8'));
said.junit = junit.testsuite.reduce((n, suite) => n + suite.testcase.length, 0);

said.profiles = readdirSync(folder).filter((name) => name.endsWith('.pb.gz')).map((name) => {
  const profile = Profile.decode(gunzipSync(readFileSync(`${folder}/${name}`)));
  const text = (i) => profile.stringTable.strings[Number(i)];
  const samples = profile.sample.reduce((n, s) => n + Number(s.value[0]), 0);
  return { name, samples, types: profile.sampleType.map((t) => text(t.type)), functions: profile.function.map((f) => text(f.name)) };
});
console.log(JSON.stringify(said));

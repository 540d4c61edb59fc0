//! The observers and their parts in a program of our own, which plays the libraries: what would take thousands of statements or a database that fails.

use timeline::event::kinds;
use timeline::probe::Batch;

use crate::served::said;

/// Installs the observers, which find `modules` loaded, by file.
const WATCH: &str = r"
const fs = require('fs');
const EventEmitter = require('events');
const ours = (file) => new (require('vm').Script)(`(${fs.readFileSync(file, 'utf8')})`).runInThisContext();
const [install, ...parts] = process.argv.slice(2).map(ours);
const watch = (modules) => {
  const found = Object.entries(modules).map(([file, exports]) => [file, { loaded: true, exports }]);
  const load = (name) => (name === 'module' ? { _cache: Object.fromEntries(found) } : require(name));
  install('dyno.test', false, load, parts, () => true);
  return globalThis[Symbol.for('dyno.test')];
};
class Client extends EventEmitter {
  connect() {}
  query() {}
}
const PG = '/node_modules/pg/lib/client.js';
";

/// What a reading says of those whom the process serves, by the names of levels behind `server.`: a lane that is not there is not among them, of one
/// that tells nothing stands `null`.
const SERVED: &str = r"
const http = require('http');
const served = (observers) => {
  const { lanes, ticks } = JSON.parse(observers.read(Infinity));
  const value = (n) => ticks[0].values.find(([lane]) => lane === n)?.[1] ?? null;
  const told = lanes.map(({ name, shape }, n) => [/^server\.(.*)/.exec(name)?.[1], shape, n]);
  return Object.fromEntries(told.filter(([name, shape]) => name && shape === 'level').map(([name, , n]) => [name, value(n)]));
};
const listening = (server) => new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port)));
const until = async (is) => {
  while (!is()) await new Promise((done) => setTimeout(done, 5));
};
";

#[test]
fn statements_that_are_asked_again_are_known_however_many_others_come_between() {
    // Is its text looked at when it is asked the first time, and the second?
    let script = r"
        const observers = watch({ [PG]: Client });
        const { replace } = String.prototype;
        let looks = 0;
        String.prototype.replace = function (...given) {
            looks += 1;
            return replace.apply(this, given);
        };
        const asked = (sql) => {
            looks = 0;
            new Client().query(sql);
            return looks > 0;
        };
        const many = Array.from({ length: 5_000 }, (_, n) => `SELECT ${n}`);
        const long = Array.from({ length: 5 }, (_, n) => `SELECT '${n} ${'x'.repeat(900_000)}'`);
        const longest = `SELECT '${'x'.repeat(3_000_000)}'`;
        const told = [many, long, [longest]].map((texts, n) => {
            texts.forEach(asked);
            return [1, 2].map(() => asked(`SELECT * FROM t${n}`));
        });
        // What is longer than all that is remembered is not, and drives out nothing.
        console.log(JSON.stringify([...told, [longest, 'SELECT * FROM t1'].map(asked)]));
        observers.remove();
    ";
    let told = said(&format!("{WATCH}{script}"), &["observers.js", "pools.js"]);
    assert_eq!(told, "[[true,false],[true,false],[true,false],[true,false]]");
}

#[test]
fn who_has_gone_before_the_first_answer_of_a_route_is_counted_in_full() {
    // What its lane tells first is told at a reading that declares it.
    let script = r"
        const observers = watch({});
        const [clients, answers] = [[], []];
        let last;
        let counted = 0;
        const read = () => {
            const { lanes, ticks } = JSON.parse(observers.read(Infinity));
            for (const tick of ticks) {
                const told = tick.values.filter(([lane]) => lanes[lane].name === 'server.requests' && lanes[lane].subject === '/gone');
                for (const [, rate] of told) counted += (rate * (tick.at - last)) / 1e9;
                last = tick.at;
            }
        };
        const until = async (happened) => {
            do await new Promise((resolve) => setTimeout(resolve, 20));
            while (!happened());
            read();
        };
        const server = require('http').createServer((request, answer) => answers.push(answer));
        server.listen(0, '127.0.0.1', async () => {
            read();
            for (let n = 0; n < 40; n += 1) {
                clients.push(require('net').connect(server.address().port, '127.0.0.1'));
                clients[n].write('GET /gone HTTP/1.1\r\nHost: x\r\n\r\n');
            }
            await until(() => answers.length === 40);
            clients.forEach((client) => client.destroy());
            await until(() => answers.every((answer) => answer.destroyed));
            answers.forEach((answer) => answer.end('late'));
            for (let n = 0; n < 3; n += 1) await until(() => true);
            console.log(counted.toFixed(3));
            observers.remove();
            process.exit();
        });
    ";
    assert_eq!(said(&format!("{WATCH}{script}"), &["observers.js", "requests.js"]), "40.000");
}

#[test]
fn half_a_character_does_not_spoil_a_reading() {
    let script = r#"
        class Redis {
            sendCommand({ name, resolve }) {
                resolve(name === 'get' ? null : 'OK');
            }
        }
        const observers = watch({ [PG]: Client, '/node_modules/ioredis/built/Redis.js': Redis });
        const redis = new Redis();
        const send = (name, ...args) => redis.sendCommand({ name, args, resolve() {} });
        // The first one is cut in the midst of a character; the third is whole, and what looks like half a one is not.
        for (const key of ['q: '.repeat(66) + 'x😀 tail', '\udc00: \ud83d', String.raw`😀 \ud83d`]) {
            send('get', key);
            send('set', key, 'something');
        }
        new Client().query('SELECT "\ud83d"');
        console.log(observers.read(0));
        observers.remove();
    "#;
    let told = said(&format!("{WATCH}{script}"), &["observers.js", "pools.js", "caches.js"]);
    let batch: Batch = serde_json::from_str(&told).unwrap();
    let events = batch.ticks.iter().flat_map(|tick| &tick.events);
    let labels = events.filter(|e| e.kind == kinds::CACHE_REFRESH).flat_map(|e| &e.labels);
    let keys: Vec<&str> = labels.filter(|(name, _)| name == "key").map(|(_, key)| key.as_str()).collect();
    let cut = "q: ".repeat(66) + "x\u{FFFD}";
    assert_eq!(keys, [cut.as_str(), "\u{FFFD}: \u{FFFD}", r"😀 \ud83d"]);
    assert!(batch.lanes.iter().any(|lane| lane.subject == "SELECT \"\u{FFFD}\""), "{:?}", batch.lanes);
}

#[test]
fn nothing_listens_to_a_connection_beside_any_pool_once_it_has_ended_or_the_observers_have_gone() {
    let script = r"
        const observers = watch({ [PG]: Client });
        const clients = Array.from({ length: 4 }, () => new Client());
        const [waiting, open, ended, failed] = clients;
        for (const client of [...clients, open]) client.connect();
        open.emit('connect');
        ended.emit('connect');
        ended.emit('end');
        failed.emit('end');
        const listeners = () => clients.map((client) => client.listenerCount('connect') + client.listenerCount('end'));
        const { lanes, ticks: [tick] } = JSON.parse(observers.read(0));
        const inUse = lanes.findIndex(({ name }) => name === 'pool.pg-clients.in-use');
        const told = [listeners(), tick.values.find(([lane]) => lane === inUse)[1]];
        observers.remove();
        waiting.emit('connect');
        console.log(JSON.stringify([...told, listeners()]));
    ";
    assert_eq!(said(&format!("{WATCH}{script}"), &["observers.js", "pools.js"]), "[[2,1,0,0],1,[0,0,0,0]]");
}

#[test]
fn what_http2_asks_is_not_told_as_nothing_and_neither_is_what_waits_for_it() {
    let script = r"
        const http2 = require('http2');
        (async () => {
            const newer = http2.createServer((_, response) => response.end('ok'));
            const client = http2.connect(`http://127.0.0.1:${await listening(newer)}`);
            const ask = () => new Promise((done) => client.request({ ':path': '/' }).resume().on('end', done));
            await ask();
            // Who was connected before is known, too.
            const observers = watch({});
            const told = [served(observers)];
            await ask();
            told.push(served(observers));
            let answer;
            const older = http.createServer((_, response) => (answer = response));
            const port = await listening(older);
            http.get({ port, host: '127.0.0.1', agent: false }, (answer) => answer.resume());
            await until(() => answer);
            told.push(served(observers));
            client.close();
            await until(() => newer._connections === 0);
            told.push(served(observers));
            answer.end();
            await until(() => older._connections === 0);
            told.push(served(observers));
            observers.remove();
            console.log(told.map((one) => JSON.stringify(one)).join('\n'));
            process.exit();
        })();
    ";
    let parts = ["observers.js", "connections.js", "requests.js"];
    let told = said(&format!("{WATCH}{SERVED}{script}"), &parts);
    insta::assert_snapshot!(told, @r#"
    {"connections":1}
    {"connections":1}
    {"connections":2,"send-queue":null,"send-queue.longest":null,"in-flight":null}
    {"connections":1,"send-queue":0,"send-queue.longest":0,"in-flight":1}
    {"connections":0,"send-queue":0,"send-queue.longest":0,"in-flight":0}
    "#);
}

#[test]
fn who_listens_has_no_connection_until_one_comes_and_who_does_not_has_no_lane_of_them() {
    // A worker of a cluster listens nowhere itself, and is handed connections; it begins to while it is read.
    let script = r"
        const cluster = require('cluster');
        const tell = async (who) => {
            const observers = watch({});
            const told = [served(observers)];
            await listening(http.createServer());
            await until(() => !cluster.worker || cluster.worker.state === 'listening');
            for (let n = 0; n < 20; n++) served(observers);
            told.push(served(observers));
            observers.remove();
            console.log(who, JSON.stringify(told));
            process.exit();
        };
        if (cluster.isPrimary) {
            cluster.fork();
            until(() => Object.keys(cluster.workers).length === 0).then(() => tell('alone'));
        } else tell('worker');
    ";
    let parts = ["observers.js", "connections.js", "requests.js"];
    let told = said(&format!("{WATCH}{SERVED}{script}"), &parts);
    assert_eq!(told, concat!(r#"worker [{},{"connections":0}]"#, "\n", r#"alone [{},{"connections":0}]"#));
}

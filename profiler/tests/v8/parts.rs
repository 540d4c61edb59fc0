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

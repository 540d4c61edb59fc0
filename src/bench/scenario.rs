//! What our side of each measurement does, as a user would write it: scenario files.
//!
//! Owns their texts. The whole of `dyno run` is measured with them: workers, coordinator, recorder, detectors.

/// A step of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A bare GET, again and again.
    Get,
    /// A GET with a templated path, checks on status and JSON, and a capture that the next one uses.
    Script,
    /// A text over a WebSocket and its echo, again and again.
    Echo,
    /// The same with a number in JSON that the echo must hold.
    EchoScript,
    /// One GET, then nothing.
    IdleHttp,
    /// A WebSocket, then nothing.
    IdleWebSocket,
    /// A message and its echo every so many seconds.
    SlowEcho(u32),
    /// Half of the sessions as [`Work::SlowEcho`], half with a GET every so many seconds.
    Mixed(u32),
}

/// Sessions that a client opens in a second; a target accepts about three times as many.
const OPENED_PER_S: u64 = 4_000;

/// How long the rise to so many sessions takes, seconds.
pub fn rise_s(sessions: u64) -> f64 {
    (sessions as f64 / OPENED_PER_S as f64).max(0.5)
}

/// A scenario that holds so many sessions for so long after they have all come. Its rise is warm-up.
pub fn held(work: Work, port: u16, sessions: u64, seconds: u64) -> String {
    let mut text = head(port);
    phase(&mut text, "rise", rise_s(sessions), &format!("{{ from = 0, to = {sessions} }}"), true);
    phase(&mut text, "all", seconds as f64, &sessions.to_string(), false);
    text + &kinds(work)
}

/// A scenario that holds a tenth of the sessions for so long, then all of them.
pub fn in_two_steps(work: Work, port: u16, sessions: u64, seconds: u64) -> String {
    let few = (sessions / 10).max(1);
    let mut text = head(port);
    phase(&mut text, "rise to few", rise_s(few), &format!("{{ from = 0, to = {few} }}"), true);
    phase(&mut text, "few", seconds as f64, &few.to_string(), true);
    phase(&mut text, "rise", rise_s(sessions), &format!("{{ from = {few}, to = {sessions} }}"), true);
    phase(&mut text, "all", seconds as f64, &sessions.to_string(), false);
    text + &kinds(work)
}

/// A scenario of single requests at a rate.
pub fn requests(port: u16, per_s: u64, seconds: u64) -> String {
    let mut text = head(port);
    text += &format!("[[phase]]\nname = \"all\"\nfor = \"{seconds}s\"\nrequests = \"{per_s}/s\"\n\n");
    text + &kind("client", "{ name = \"get\", get = \"/\" },")
}

/// A scenario of sessions that arrive at a rate and do nothing.
pub fn nothing(port: u16, per_s: u64, seconds: u64) -> String {
    let mut text = head(port);
    text += &format!("[[phase]]\nname = \"all\"\nfor = \"{seconds}s\"\narrivals = \"{per_s}/s\"\n\n");
    text + &kind("nobody", "{ think = \"0s\" },")
}

fn head(port: u16) -> String {
    // Only what a peer does, too: the target's processes are not watched.
    format!(
        "about = \"A row of dyno bench\"\n\n[target]\nurl = \"http://127.0.0.1:{port}\"\nattach = [\"none\"]\n\n"
    )
}

fn phase(text: &mut String, name: &str, seconds: f64, sessions: &str, warmup: bool) {
    *text += &format!(
        "[[phase]]\nname = \"{name}\"\nfor = \"{:.0}ms\"\nsessions = {sessions}\nwarmup = {warmup}\n\n",
        seconds * 1e3
    );
}

fn kinds(work: Work) -> String {
    const CONNECT: &str = "{ name = \"open\", connect = \"/ws\" },";
    const HOUR: &str = "{ think = \"1h\" },";
    const GET: &str = "{ name = \"get\", get = \"/\" },";
    let echo = "{ name = \"say\", send = '{\"id\":123456,\"say\":\"hello, you\"}', await = { contains = \"hello, you\" } },";
    let number = "{ name = \"say\", send = '{\"id\":${int(100000, 999999)},\"say\":\"hello, you\"}', \
                  await = { json = \"$.id\", equals = \"${sent.id}\" } },";
    let again = |steps: &str| format!("{{ repeat = \"until-end\", steps = [\n    {steps}\n  ] }},");
    let every = |s: u32, steps: &str| {
        format!("{{ repeat = \"until-end\", every = \"exp({s}s)\", steps = [\n    {steps}\n  ] }},")
    };
    match work {
        Work::Get => kind("client", &again(GET)),
        Work::Script => kind("client", &again(SCRIPT)),
        Work::Echo => kind("client", &format!("{CONNECT}\n  {}", again(echo))),
        Work::EchoScript => kind("client", &format!("{CONNECT}\n  {}", again(number))),
        Work::IdleHttp => kind("client", &format!("{GET}\n  {HOUR}")),
        Work::IdleWebSocket => kind("client", &format!("{CONNECT}\n  {HOUR}")),
        Work::SlowEcho(s) => kind("client", &format!("{CONNECT}\n  {}", every(s, number))),
        Work::Mixed(s) => {
            kind("talker", &format!("{CONNECT}\n  {}", every(s, number))) + &kind("reader", &every(s, GET))
        }
    }
}

/// The item's id is captured and asked for next; what the first one asks for is drawn.
const SCRIPT: &str = "{ name = \"item\", get = \"/item/${int(1, 1000)}?s=${session}\", \
                      check = { status = 200, json = { \"$.price\" = \"> 0\", \"$.tags\" = \"not empty\" } }, \
                      save = { item = \"$.id\" } },
    { name = \"again\", get = \"/item/${item}\", check = { status = 200, body = \"blue\" }, save = { name = \"$.name\" } },";

fn kind(name: &str, steps: &str) -> String {
    format!("[[session]]\nname = \"{name}\"\nsteps = [\n  {steps}\n]\n\n")
}

#[cfg(test)]
mod tests {
    use scenarios::{Origin, Overrides, parse};

    use super::*;

    #[test]
    fn every_scenario_is_sound() {
        let works = [
            Work::Get,
            Work::Script,
            Work::Echo,
            Work::EchoScript,
            Work::IdleHttp,
            Work::IdleWebSocket,
            Work::SlowEcho(10),
            Work::Mixed(10),
        ];
        let origin = Origin { name: "row".into(), file: None };
        let texts = works
            .into_iter()
            .flat_map(|w| [held(w, 80, 1000, 5), in_two_steps(w, 80, 1000, 5)])
            .chain([requests(80, 2000, 5), nothing(80, 10_000, 5)]);
        for text in texts {
            let plan = parse(&text, &origin, &Overrides::default());
            assert!(plan.is_ok(), "{text}\n{}", plan.unwrap_err());
        }
    }
}

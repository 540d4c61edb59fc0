//! What the end-to-end tests share: running the real binary, reading what it left.

#![expect(dead_code, reason = "each test binary uses its own part of this")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use timeline::facts::RunMeta;
use timeline::recording::{FILE_NAME, Item, Reader, Writer};

/// The binary under test.
pub fn dyno() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dyno"));
    for name in ["DYNO_TOKEN", "DYNO_UI", "DYNO_GROUND", "CI", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// How many past orders a shop begins with, and what says so: few, which are made at once, where nobody looks them up.
pub const FEW_ROWS: (&str, &str) = ("DYNO_ROWS", "3000");

/// A quick bench of some rows where no peer can be found.
pub fn bench(subject: &str, rows: &str, file: &Path) -> Output {
    let mut command = dyno();
    command.args(["bench", subject, "--quick", "--json", "--rows", rows, "--out"]).arg(file);
    command.env("PATH", "").envs([FEW_ROWS]).output().unwrap()
}

/// What nobody reads any more.
pub fn closed() -> std::io::PipeWriter {
    std::io::pipe().unwrap().1
}

/// Runs need the machine to themselves: two at once would measure each other. Tests of one file run in
/// threads, files run one after another, so a lock per process is enough.
pub fn whole_machine() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One finished run.
pub struct Run {
    pub folder: PathBuf,
    pub output: Output,
    _dir: Option<tempfile::TempDir>,
}

/// Runs `dyno run` with `args`, reports in a temporary folder.
pub fn run(args: &[&str]) -> Run {
    run_with(args, &[])
}

/// The same with these variables in its environment.
fn run_with(args: &[&str], variables: &[(&str, &str)]) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let mut run = dyno();
    run.arg("run").args(args).args(["--ui", "none", "--out"]).arg(&folder).envs(variables.iter().copied());
    let output = run.output().unwrap();
    Run { folder, output, _dir: Some(dir) }
}

/// Exit code of a run that measured itself badly.
const INVALID: i32 = 5;

/// Runs as [`run`] does; a run that says of itself that the machine starved it is run again, twice at most.
pub fn run_valid(args: &[&str]) -> Run {
    run_valid_with(args, &[])
}

/// The same with these variables in its environment.
pub fn run_valid_with(args: &[&str], variables: &[(&str, &str)]) -> Run {
    let mut last = run_with(args, variables);
    for again in 1..=2 {
        if last.code() != Some(INVALID) {
            break;
        }
        eprintln!("{args:?} was invalid: {}; run again ({again})", last.summary()["verdict_reason"]);
        last = run_with(args, variables);
    }
    last
}

/// A scenario of the catalogue, cut short, so that several of them fit into a test run: the load is steady for nine seconds, three before
/// the fault, the five for which it lasts, and one more. The file is in the folder.
pub fn brief(name: &str) -> (tempfile::TempDir, String) {
    let text = of_catalog(name).replace("for = \"8s\"", "for = \"5s\"").replace("at = \"8s\"", "at = \"6s\"");
    steady_for(name, &text, "9s")
}

/// The same scenario with a steady phase of this length.
fn steady_for(name: &str, text: &str, length: &str) -> (tempfile::TempDir, String) {
    let length = format!("for = \"{length}\"");
    let cut = text.replace("for = \"21s\"", &length).replace("for = \"22s\"", &length);
    assert_ne!(cut, text, "{name} has a steady phase of 21 s or 22 s");
    kept(name, &cut)
}

/// A scenario of the catalogue with these words replaced, one after the other. The file is in the folder.
pub fn changed(name: &str, changes: &[(&str, &str)]) -> (tempfile::TempDir, String) {
    let text = changes.iter().fold(of_catalog(name), |text, (from, to)| {
        assert!(text.contains(from), "{name} has {from:?}: {text}");
        text.replace(from, to)
    });
    kept(name, &text)
}

fn of_catalog(name: &str) -> String {
    let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/catalog");
    std::fs::read_to_string(catalog.join(format!("{name}.toml"))).unwrap()
}

/// `text` as the file of a scenario.
fn kept(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(format!("{name}.toml"));
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

/// Runs a clean twin, cut short, which must show nothing: for 13 seconds, the least data of the slowest detector.
pub fn run_clean(scenario: &str) {
    let (_dir, scenario) = steady_for(scenario, &of_catalog(scenario), "13s");
    let run = run_valid(&[&scenario]);
    assert_eq!(run.code(), Some(0), "{}\n{}", run.stdout(), run.stderr());
    assert_eq!(run.kinds(), Vec::<String>::new(), "{:#}", run.summary()["findings"]);
}

impl Run {
    /// A run that was started otherwise; its folder is somebody else's to remove.
    pub fn of(folder: PathBuf, output: Output) -> Self {
        Self { folder, output, _dir: None }
    }

    pub fn code(&self) -> Option<i32> {
        self.output.status.code()
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    pub fn summary(&self) -> Value {
        json(&self.folder.join("summary.json"))
            .unwrap_or_else(|| panic!("no summary; stderr:\n{}", self.stderr()))
    }

    /// Kinds of the findings, ranked.
    pub fn kinds(&self) -> Vec<String> {
        kinds(&self.summary())
    }

    /// Seconds of the run at which the fault first took effect.
    pub fn onset_s(&self, fault: &str) -> f64 {
        let text = std::fs::read_to_string(self.folder.join("truth.jsonl")).expect("truth.jsonl");
        let lines = text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
        lines
            .filter(|l| l["fault"] == fault && l["what"] == "onset")
            .map(|l| l["run_s"].as_f64().unwrap())
            .reduce(f64::min)
            .unwrap_or_else(|| panic!("fault {fault} never took effect: {text}"))
    }
}

pub fn kinds(summary: &Value) -> Vec<String> {
    let findings = summary["findings"].as_array().expect("findings");
    findings.iter().map(|f| f["kind"].as_str().unwrap().to_owned()).collect()
}

pub fn json(path: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

/// Files under `folder` that hold `text`; a recording is looked at as it reads once it is unpacked.
pub fn holding(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, text));
            continue;
        }
        let mut bytes = std::fs::read(&path).unwrap();
        if path.ends_with(FILE_NAME) {
            bytes.extend(Reader::open(&path).unwrap().unpacked());
        }
        if bytes.windows(text.len()).any(|w| w == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Waits until `what` holds; a test that waits longer than `patience` fails by its caller's assertion.
pub fn wait_for(patience: Duration, mut what: impl FnMut() -> bool) -> bool {
    let step = Duration::from_millis(50);
    for _ in 0..=(patience.as_millis() / step.as_millis()) {
        if what() {
            return true;
        }
        std::thread::sleep(step);
    }
    false
}

/// All descendants of a process, children first.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            found.push(child);
            parents.push(child);
        }
    }
    found
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks
        .flatten()
        .filter_map(|t| std::fs::read_to_string(t.path().join("children")).ok())
        .flat_map(|text| text.split_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

/// Does the process run (a zombie does not)?
pub fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

/// Sends a signal.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    let _ = rustix::process::kill_process(pid, signal);
}

/// A child that is killed when the test ends, however it ends.
pub struct Guarded(pub Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A shop served alone, to a run just somebody's server: its address, and the process that ends with the test. With few past orders,
/// which are made at once.
pub fn shop(workers: usize) -> (String, Guarded) {
    let (url, _, shop) = shop_and_probe(workers);
    (url, shop)
}

/// The same, and the address of its probe, whose token is `t`.
pub fn shop_and_probe(workers: usize) -> (String, String, Guarded) {
    let mut child = dyno()
        .args(["backend", "--listen", "127.0.0.1:0", "--workers", &workers.to_string(), "--rows", FEW_ROWS.1])
        .env("DYNO_TOKEN", "t")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let shop = Guarded(child);
    let ready: Value = serde_json::from_str(&line).unwrap();
    let address = |what: &str| ready["ready"][what].as_str().unwrap().to_owned();
    (address("url"), address("probe"), shop)
}

/// The same run under another name, so that its figures are the same.
pub fn renamed(recorded: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    let (mut writer, mut end) = (None, None);
    for item in Reader::open(recorded).unwrap() {
        match item {
            Item::Meta(meta) if writer.is_none() => {
                let meta = RunMeta { run_id: format!("{}0", meta.run_id), ..*meta };
                writer = Some(Writer::create(&to.join(FILE_NAME), &meta).unwrap());
            }
            Item::Entry(entry) => writer.as_mut().unwrap().add(&entry).unwrap(),
            Item::End(e) => end = Some(e),
            Item::Meta(_) | Item::Log(_) => {}
        }
    }
    writer.unwrap().finish(&end.unwrap()).unwrap();
}

//! What others build on: the action, the GitLab job, release and container files, live metrics. Their shell lines run once
//! here, as a runner would run them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde_json::Value;

use crate::common::{json, renamed, shop, wait_for, whole_machine};
use crate::port::free_port;

const DYNO: &str = env!("CARGO_BIN_EXE_dyno");

fn root(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(root(file)).unwrap()).unwrap()
}

/// Runs a script as GitHub's and GitLab's runners do, in `folder`, with only these variables and the path.
fn bash(script: &str, folder: &Path, variables: &[(&str, &str)]) -> Output {
    let checked = Command::new("bash").args(["-n", "-c", script]).output().unwrap();
    assert!(checked.status.success(), "{script}\n{}", String::from_utf8_lossy(&checked.stderr));
    let path = std::env::var("PATH").unwrap();
    Command::new("bash")
        .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script])
        .current_dir(folder)
        .env_clear()
        .env("PATH", format!("{}:{path}", folder.join("bin").display()))
        .env("HOME", folder)
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// A run that says of itself that the machine starved it is run again, twice at most.
pub fn valid_run(out: &Path, run: impl Fn() -> Output) -> Output {
    seen_run(out, || (run(), true))
}

/// The same for one of which something had to be seen: `run` says whether it was.
fn seen_run(out: &Path, mut run: impl FnMut() -> (Output, bool)) -> Output {
    const INVALID: i32 = 5;
    for _ in 0..2 {
        let (ran, is_seen) = run();
        if ran.status.code() != Some(INVALID) && is_seen {
            return ran;
        }
        let _ = std::fs::remove_dir_all(out); // one that did not begin has made none
    }
    run().0
}

fn text(output: &Output) -> (String, String) {
    let of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (of(&output.stdout), of(&output.stderr))
}

/// A folder with `dyno` in its `bin`; gives where a release made by the release script is found as `latest`.
fn released(folder: &Path) -> String {
    // Packing takes seconds, so it is done once, in a folder of Cargo's.
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let releases = MADE.get_or_init(|| {
        let releases = Path::new(env!("CARGO_TARGET_TMPDIR")).join("releases");
        let to = releases.join("latest/download");
        let made = Command::new(root("ci/release")).arg(&to).arg(DYNO).output().unwrap();
        assert!(made.status.success(), "{:?}", text(&made));
        releases
    });
    std::fs::create_dir(folder.join("bin")).unwrap();
    std::os::unix::fs::symlink(DYNO, folder.join("bin/dyno")).unwrap();
    let copied = Command::new("cp").arg("-r").arg(releases).arg(folder.join("releases")).status().unwrap();
    assert!(copied.success());
    format!("file://{}", folder.join("releases").display())
}

/// Takes what is sent by OTLP: answers each request, and keeps the bodies.
fn collector() -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let bodies: Arc<Mutex<Vec<Value>>> = Arc::default();
    let kept = Arc::clone(&bodies);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || take(stream, &kept));
        }
    });
    (url, bodies)
}

/// All requests of a connection.
fn take(mut stream: TcpStream, bodies: &Mutex<Vec<Value>>) {
    let (mut all, mut part) = (Vec::new(), [0; 16_384]);
    while let Ok(n @ 1..) = stream.read(&mut part) {
        all.extend_from_slice(&part[..n]);
        while let Some(end) = all.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
            assert!(
                head.starts_with("post /v1/metrics ") && head.contains("content-type: application/json"),
                "{head}"
            );
            let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap();
            let length: usize = length.trim().parse().unwrap();
            if all.len() < end + 4 + length {
                break;
            }
            let body: Vec<u8> = all.drain(..end + 4 + length).skip(end + 4).collect();
            let body = serde_json::from_slice(&body).unwrap();
            bodies.lock().unwrap().push(body);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n";
            let _ = stream.write_all(format!("{head}{{}}").as_bytes()); // who has waited in vain has gone
        }
    }
}

/// What `run` gives, and the page as soon as there are figures of steps on it; none if that never came while it went on.
fn scraped(port: u16, run: impl FnOnce() -> Output) -> (Output, Option<String>) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let scraping = scope.spawn(|| scrape(port, &over));
        let ran = run();
        over.store(true, Ordering::Relaxed);
        (ran, scraping.join().unwrap())
    })
}

/// The same page alone; none once it is `over`.
fn scrape(port: u16, over: &AtomicBool) -> Option<String> {
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { continue };
        let asked = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut answer = String::new();
        let read = asked.and_then(|()| stream.read_to_string(&mut answer));
        if read.is_ok()
            && answer.contains("dyno_recent_response_seconds{")
            && answer.contains("dyno_gate_holds{")
        {
            return Some(answer);
        }
    }
    None
}

/// Steps of the action by name.
fn steps(action: &Value) -> BTreeMap<String, Value> {
    let steps = action["runs"]["steps"].as_array().unwrap().iter();
    steps.map(|s| (s["name"].as_str().unwrap().to_owned(), s.clone())).collect()
}

#[test]
fn the_action_runs_the_binary_and_annotates_and_the_run_is_scraped_and_collected_meanwhile() {
    let _machine = whole_machine();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let (action, source) = (yaml("action.yml"), std::fs::read_to_string(root("action.yml")).unwrap());
    for (name, input) in action["inputs"].as_object().unwrap() {
        assert!(input["description"].as_str().is_some_and(|d| d.len() > 20), "{name} is described");
        let used = [format!("inputs.{name} "), format!("inputs.{name}}}")];
        assert!(used.iter().any(|u| source.contains(u)), "{name} is used");
    }
    let steps = steps(&action);
    let script = |name: &str| steps[name]["run"].as_str().unwrap();
    for step in steps.values().filter_map(|s| s["run"].as_str()) {
        assert!(!step.contains("${{"), "what a workflow passes is never part of a script: {step}");
    }

    let releases = released(folder);
    let (output, summary) = (folder.join("output"), folder.join("summary.md"));
    let path_file = folder.join("path");
    let at = |p: &Path| p.display().to_string();
    let (root, temporary) = (at(&root("")), at(&folder.join("temporary")));
    let get = [
        ("GITHUB_ACTION_PATH", root.as_str()),
        ("RUNNER_TEMP", &temporary),
        ("GITHUB_PATH", &at(&path_file)),
        ("DYNO_RELEASES", &releases),
        ("VERSION", "latest"),
    ];
    let got = bash(script("Get dyno"), folder, &get);
    assert!(got.status.success() && text(&got).0.starts_with("dyno "), "{:?}", text(&got));
    assert_eq!(std::fs::read_to_string(&path_file).unwrap().trim(), format!("{temporary}/dyno"));

    let (url, _shop) = shop(1);
    std::fs::write(folder.join("load.toml"), SCENARIO.replace("URL", &url)).unwrap();
    let port = free_port();
    let (collector, bodies) = collector();
    let args = format!("--metrics-listen {port} --otlp {collector} --attach process");
    let run = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_OUTPUT", &at(&output)),
        ("GITHUB_STEP_SUMMARY", &at(&summary)),
        ("SCENARIO", "load.toml"),
        ("TARGET", ""),
        ("GATES", "errors < 100%\n\np50 < 1us for list"),
        ("ARGS", &args),
        ("OUT", "run"),
        // Nobody is there: what a run sends goes through no proxy.
        ("ALL_PROXY", "http://127.0.0.1:1"),
    ];
    // One that was over before anybody here had his turn is run again.
    let mut page = None;
    let ran = seen_run(&folder.join("run"), || {
        let ran;
        (ran, page) = scraped(port, || bash(script("Run"), folder, &run));
        let is_collected = || bodies.lock().unwrap().len() >= 2;
        (ran, page.is_some() && wait_for(Duration::from_secs(5), is_collected))
    });
    let (out, err) = text(&ran);
    assert_eq!(ran.status.code(), Some(3), "{out}\n{err}");
    let told = std::fs::read_to_string(&output).unwrap();
    assert!(told.contains("code=3\n") && told.contains("folder=run\n"), "{told}");
    assert!(out.contains("::error title=dyno%3A a gate fails::p50 < 1us for list: "), "{out}");
    assert!(err.contains("::group::dyno: load") && err.contains("::endgroup::"), "{err}");
    let host = url.trim_start_matches("http://");
    let markdown = std::fs::read_to_string(&summary).unwrap();
    assert!(markdown.contains("| **fails** |"), "{markdown}");
    for published in [&out, &err, &markdown] {
        assert!(!published.contains(host), "{published}");
    }
    // Of the run's folder the recording alone has the address, and whatever is made of it openly.
    let reports = ["run", "run/ci"].map(|f| std::fs::read_dir(folder.join(f)).unwrap()).into_iter().flatten();
    let reports: Vec<PathBuf> = reports.map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
    assert!(reports.iter().any(|p| p.ends_with("report.html")), "{reports:?}");
    let naming = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains(host);
    for path in reports.iter().filter(|p| !p.ends_with("recording.dyno")) {
        assert!(!naming(path), "{}", path.display());
    }
    for (flags, named) in [(&["--redact"][..], false), (&[], true)] {
        let to = folder.join(format!("again-{named}"));
        let again = Command::new(DYNO)
            .args(["report", "run", "--format", "json,html,csv,markdown", "--out"])
            .arg(&to)
            .args(flags)
            .current_dir(folder)
            .output()
            .unwrap();
        assert!(again.status.success(), "{:?}", text(&again));
        assert_eq!((naming(&to.join("report.html")), naming(&to.join("summary.json"))), (named, named));
    }

    let page = page.expect("the page has figures while the run goes on");
    on_the_page(&page);
    collected(&bodies.lock().unwrap(), &page);

    // A baseline is kept, and compared with.
    renamed(&folder.join("run"), &folder.join("like"));
    std::fs::create_dir(folder.join("like/ci")).unwrap();
    let summed_up = at(&summary);
    let of = |out| {
        [
            ("BASELINE", "main"),
            ("BASELINES", "kept"),
            ("OUT", out),
            ("GITHUB_STEP_SUMMARY", summed_up.as_str()),
        ]
    };
    let comparing = of("run");
    let none = bash(script("Compare"), folder, &comparing);
    assert!(none.status.success() && text(&none).0.contains("no baseline main yet"), "{:?}", text(&none));
    let kept = bash(script("Keep as baseline"), folder, &comparing);
    assert!(kept.status.success(), "{:?}", text(&kept));
    let compared = bash(script("Compare"), folder, &of("like"));
    assert!(compared.status.success(), "a run is not worse than its like: {:?}", text(&compared));
    let all = std::fs::read_to_string(&summary).unwrap();
    assert!(all.len() > markdown.len() && !all.contains(host), "the comparison is appended: {all}");
}

/// Half of its steps fail, so that there are errors to see.
const SCENARIO: &str = r#"
about = "a few people look around"
[target]
url = "URL"
[[phase]]
name = "all"
for = "3s"
sessions = 5
[[session]]
name = "visitor"
steps = [
  { name = "list", get = "/products?page=1" },
  { name = "nothing", get = "/no-such-thing" },
  { think = "20ms" },
]
"#;

/// Every figure that the Grafana dashboard draws is on a real page, but for findings, of which a healthy run has none.
fn on_the_page(page: &str) {
    assert!(page.contains("application/openmetrics-text") && page.ends_with("# EOF\n"), "{page}");
    let output = Command::new(DYNO).arg("grafana").output().unwrap();
    let dashboard: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut drawn = 0;
    for target in
        dashboard["panels"].as_array().unwrap().iter().flat_map(|p| p["targets"].as_array().unwrap())
    {
        let expression = target["expr"].as_str().unwrap();
        let (name, labels) = expression.trim_end_matches('}').split_once('{').unwrap();
        if name == "dyno_finding_onset_seconds" || labels.contains("lane=~") {
            continue;
        }
        let has = |line: &&str| {
            line.starts_with(&format!("{name}{{"))
                && labels
                    .split(',')
                    .filter(|l| !l.contains("!=") && !l.contains('$'))
                    .all(|l| line.contains(l))
        };
        assert!(page.lines().any(|l| has(&l)), "{expression} draws nothing of\n{page}");
        drawn += 1;
    }
    assert!(drawn > 8, "{drawn}");
}

/// The collector was sent the same figures under the same names.
fn collected(bodies: &[Value], page: &str) {
    assert!(bodies.len() >= 2, "one a second: {}", bodies.len());
    let all = bodies.iter().map(|body| &body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]);
    // The last one may have been lost.
    let metrics = all.map(|metrics| metrics.as_array().unwrap()).max_by_key(|m| m.len()).unwrap();
    let names: Vec<&str> = metrics.iter().map(|m| m["name"].as_str().unwrap()).collect();
    for family in page.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(names.contains(&family), "{family} in {names:?}");
    }
    let points = metrics.iter().flat_map(|m| m["gauge"]["dataPoints"].as_array().unwrap());
    for point in points {
        assert!(
            point["asDouble"].is_number() && point["timeUnixNano"].as_str().unwrap().len() == 19,
            "{point}"
        );
    }
}

#[test]
fn the_gitlab_job_fetches_runs_and_reports() {
    let _machine = whole_machine();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let job = yaml("ci/gitlab.yml");
    assert_eq!(job["dyno"]["cache"]["unprotect"], true, "branches see the baselines of the protected one");
    assert_eq!(job["dyno"]["cache"]["policy"], "$DYNO_CACHE");
    assert_eq!(job["variables"]["DYNO_CACHE"], "pull", "a branch leaves them as they are");
    let rules = job["dyno"]["rules"].as_array().unwrap();
    let writes: Vec<&Value> = rules.iter().filter(|r| r["variables"]["DYNO_CACHE"] == "pull-push").collect();
    assert_eq!(writes.len(), 1, "{rules:?}");
    assert_eq!(writes[0]["if"], "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH");
    let releases = released(folder);
    let (url, _shop) = shop(1);
    std::fs::write(folder.join("load.toml"), SCENARIO.replace("URL", &url)).unwrap();
    let lines = |part: &str| {
        let lines = job["dyno"][part].as_array().unwrap().iter();
        lines.map(|l| l.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let script = [lines("before_script"), lines("script")].concat().join("\n");
    let mut variables: Vec<(&str, &str)> = job["variables"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str().unwrap()))
        .collect();
    variables.retain(|(name, _)| *name != "DYNO_RELEASES");
    let given = [
        ("DYNO_RELEASES", releases.as_str()),
        ("GITLAB_CI", "true"),
        ("DYNO_GATES", "errors < 100%\n\ncount >= 1 for list"),
        ("CI_COMMIT_BRANCH", "main"),
        ("CI_DEFAULT_BRANCH", "main"),
    ];
    variables.extend(given);
    let ran = valid_run(&folder.join("dyno-run"), || bash(&script, folder, &variables));
    let (out, err) = text(&ran);
    assert!(ran.status.success(), "{out}\n{err}");
    assert!(err.contains("section_start:") && err.contains("section_end:"), "{err}");
    let artifacts = &job["dyno"]["artifacts"]["reports"];
    for report in ["junit", "codequality", "metrics"] {
        let path = folder.join(artifacts[report].as_str().unwrap());
        assert!(std::fs::metadata(&path).is_ok_and(|m| m.len() > 0), "{}", path.display());
    }
    assert!(json(&folder.join("dyno-run/ci/code-quality.json")).unwrap().is_array());
    let summary = json(&folder.join("dyno-run/ci/summary.json")).unwrap();
    let gates: Vec<&str> =
        summary["gates"].as_array().unwrap().iter().map(|g| g["that"].as_str().unwrap()).collect();
    assert_eq!(gates, ["errors < 100%", "count >= 1 for list"]);
    assert!(folder.join("dyno-baselines/main").is_dir(), "the run is kept as the baseline of its branch");

    // A download that is not what the release says is refused.
    let archive = folder
        .join(format!("releases/latest/download/dyno-{}-unknown-linux-gnu.tar.gz", std::env::consts::ARCH));
    std::fs::write(&archive, "something else").unwrap();
    let got = Command::new(root("ci/get"))
        .args(["latest", "x"])
        .current_dir(folder)
        .env("DYNO_RELEASES", &releases)
        .output();
    let got = got.unwrap();
    assert_eq!(got.status.code(), Some(2));
    assert!(text(&got).1.contains("is not what"), "{:?}", text(&got));
}

/// GitHub's and GitLab's schemas, as SchemaStore has them, Grafana's own model of a dashboard, and a linter of container files.
#[test]
fn the_forms_of_others_are_kept_to() {
    let dir = tempfile::tempdir().unwrap();
    let python = crate::python::with_packages();
    let linted = Command::new(python.with_file_name("hadolint")).arg(root("Containerfile")).output().unwrap();
    assert!(linted.status.success(), "{:?}", text(&linted));
    for (schema, file) in [("vendor.github-actions", "action.yml"), ("vendor.gitlab-ci", "ci/gitlab.yml")] {
        let checked = Command::new(&python)
            .args(["-m", "check_jsonschema", "--builtin-schema", schema])
            .arg(root(file))
            .output()
            .unwrap();
        assert!(checked.status.success(), "{file}: {:?}", text(&checked));
    }
    let dashboard = dir.path().join("dashboard.json");
    std::fs::write(&dashboard, Command::new(DYNO).arg("grafana").output().unwrap().stdout).unwrap();
    let read = Command::new(&python).args(["-c", GRAFANA]).arg(&dashboard).output().unwrap();
    assert!(read.status.success(), "{:?}", text(&read));
}

/// What Grafana's model does not know of, it drops: reading and writing it again must leave all.
const GRAFANA: &str = r#"
import json, sys
from grafana_foundation_sdk.models.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
register_default_plugins()
ours = json.load(open(sys.argv[1]))
theirs = json.loads(json.dumps(Dashboard.from_json(ours), cls=JSONEncoder))
def kept(a, b, at):
    if isinstance(a, dict):
        for k in a:
            assert k in b, f"{at}.{k} is unknown to Grafana"
            kept(a[k], b[k], f"{at}.{k}")
    elif isinstance(a, list):
        assert len(a) == len(b), at
        for i, (x, y) in enumerate(zip(a, b)):
            kept(x, y, f"{at}[{i}]")
    else:
        assert a == b, f"{at}: {a} became {b}"
kept(ours, theirs, "dashboard")
"#;

//! Bad input and bad surroundings: one clear message, the documented exit code, nothing lost.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use common::{Guarded, closed, dyno, signal};
use rustix::process::Signal;

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_wrong_scenario_points_at_line_and_value() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.toml");
    std::fs::write(&path, "about = \"x\"\n[target]\nurl = \"bundled\"\n[[phase]]\nname = \"a\"\nfor = \"60 parsecs\"\nsessions = 5\n[[session]]\nname = \"s\"\nsteps = [{ name = \"g\", get = \"/\" }]\n").unwrap();
    let output = dyno().arg("run").arg(&path).args(["--ui", "none"]).output().unwrap();
    assert_eq!(code(&output), Some(2));
    let text = stderr(&output);
    assert!(text.contains("shop.toml:6:7") && text.contains("60 parsecs") && text.contains("30s"), "{text}");
}

#[test]
fn what_a_run_would_pass_over_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |args: &[&str]| {
        let output = dyno().current_dir(dir.path()).args(args).output().unwrap();
        assert_eq!(code(&output), Some(2), "{args:?}");
        stderr(&output)
    };
    let told = refused(&["run", "flash-sale", "--body", "x"]);
    assert!(told.contains("'[SCENARIO]' cannot be used with '--body <TEXT>'"), "{told}");
    let told = refused(&["run", "--url", "http://127.0.0.1:1/", "-e", "A=b"]);
    assert!(told.contains("-e A: --url has no variables"), "{told}");
    let text = "[target]\nurl = \"http://127.0.0.1:1\"\nattach = [\"auto\", \"nodee=7\"]\n[[phase]]\nname = \"a\"\nfor = \"1s\"\nsessions = 1\n\
        [[session]]\nname = \"s\"\nsteps = [{ name = \"g\", get = \"/\" }]\n";
    std::fs::write(dir.path().join("a.toml"), text).unwrap();
    for command in [&["scenarios", "check", "a.toml"][..], &["run", "a.toml"]] {
        let told = refused(command);
        assert!(told.contains("a.toml:3:19") && told.contains("nodee=7"), "{told}");
        assert!(told.contains("expected: one of auto, none"), "{told}");
    }
    for (flag, count) in
        [("--workers", "0"), ("--workers", "65"), ("--load-workers", "0"), ("--load-workers", "100000")]
    {
        let told = refused(&["run", "flash-sale", flag, count]);
        assert!(told.contains(&format!("{count} is not in 1..=")), "{told}");
    }
    let told = refused(&["run", "--url", "http://127.0.0.1:1/", "--for", "5s", "--profile=30"]);
    assert!(told.contains("--profile 30: the load lasts 5.0 s"), "{told}");
}

#[test]
fn what_cannot_begin_is_said_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let unasked: &[(&[&str], &str)] = &[
        (&["run", "flash-sale", "--ui", "tui"], "standard error is no terminal"),
        (&["goose", "--ui", "tui", "--", "true"], "standard error is no terminal"),
        (&["replay", "some-run", "--ui", "tui"], "standard error is no terminal"),
        (&["run", "flash-sale", "--metrics-listen", &port], "cannot serve metrics at 127.0.0.1:"),
        (&["run", "fragmentation", "--runtime", "node"], "no fault `fragmentation`; leave out"),
        (&["run", "accept-overflow", "--runtime", "bun"], "the Rust backend has it"),
        (&["run", "deoptimised"], "no fault `deoptimised`; say --runtime node"),
        (&["run", "cache-expiry", "-e", "one=lock"], "protection is `lock`, which needs a cache that all"),
        (&["goose", "--", "./typo"], "./typo cannot be started: No such file"),
        (&["goose", "--", "no-such-program"], "no-such-program cannot be started: No such file"),
    ];
    for (args, says) in unasked {
        let mut command = dyno();
        let output =
            command.current_dir(dir.path()).args(*args).env_remove("DYNO_CACHE_URL").output().unwrap();
        assert_eq!(code(&output), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{args:?} leaves no folder");
    }
}

#[test]
fn an_unknown_scenario_gets_a_suggestion() {
    for command in [&["run"][..], &["plan"], &["scenarios", "show"], &["scenarios", "check"]] {
        let output = dyno().args(command).arg("flash-sael").output().unwrap();
        let told = stderr(&output);
        assert_eq!(code(&output), Some(2), "{command:?}: {told}");
        assert!(
            told.contains("did you mean `flash-sale`?") && !told.contains("stampede"),
            "{command:?}: {told}"
        );
    }
}

#[test]
fn an_address_in_the_place_of_a_scenario_is_told_its_flag() {
    for (given, meant) in [
        ("http://127.0.0.1:3000/cart", "--url http://127.0.0.1:3000/cart"),
        (":3000", "--url http://127.0.0.1:3000"),
    ] {
        let output = dyno().args(["run", given]).output().unwrap();
        assert_eq!(code(&output), Some(2));
        assert!(
            stderr(&output).contains(&format!("did you mean `dyno run {meant}`?")),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn a_load_that_does_not_fit_the_scenario_nobody_named_says_which_that_is() {
    let output = dyno().args(["run", "--vus", "3", "--duration", "2s"]).output().unwrap();
    let told = stderr(&output);
    assert_eq!(code(&output), Some(2), "{told}");
    assert!(told.contains("flash-sale: the fault at 20s would come after the load's end"), "{told}");
    assert!(told.contains("flash-sale is run because no scenario was named"), "{told}");
    let output = dyno().args(["run", "flash-sale", "--vus", "3", "--duration", "2s"]).output().unwrap();
    assert!(!stderr(&output).contains("no scenario was named"), "{}", stderr(&output));
}

#[test]
fn a_word_that_names_no_run_is_not_watched_as_a_backend() {
    let output = dyno().args(["watch", "nosuch", "--for", "1s", "--ui", "plain"]).output().unwrap();
    assert_eq!(code(&output), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("there is no run nosuch in dyno-runs"), "{}", stderr(&output));
}

#[test]
fn an_unreachable_target_is_code_6() {
    // Nobody listens there, and nobody is given that port.
    let port = 1;
    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://127.0.0.1:{port}/");
    let output = dyno()
        .current_dir(dir.path())
        .args(["run", "--url", &url, "--sessions", "2", "--for", "2s", "--ui", "none"])
        .output()
        .unwrap();
    assert_eq!(code(&output), Some(6), "{}", stderr(&output));
    assert!(stderr(&output).contains(&format!("127.0.0.1:{port}")), "{}", stderr(&output));
    // A job's log may be anybody's to read.
    let output = dyno()
        .current_dir(dir.path())
        .args(["run", "--url", &url, "--sessions", "2", "--for", "2s", "--ci"])
        .output()
        .unwrap();
    assert_eq!(code(&output), Some(6), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("address") && !stderr(&output).contains("127.0.0.1"),
        "{}",
        stderr(&output)
    );
}

/// Answers each request over TLS, by a certificate for 127.0.0.1 that nobody vouches for; its port, and the certificate in PEM.
fn unvouched() -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            std::thread::spawn(move || answer_all(rustls::StreamOwned::new(tls, stream)));
        }
    });
    (port, made.cert.pem())
}

/// Answers each request on a connection until it ends.
fn answer_all(stream: impl Read + Write) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).is_ok_and(|n| n > 0) {
        let ended = line == "\r\n";
        line.clear();
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        if ended && stream.get_mut().write_all(answer).is_err() {
            return;
        }
    }
}

#[test]
fn a_certificate_that_is_refused_is_code_6_with_its_reason_and_can_be_trusted() {
    let ((port, own), (_, other)) = (unvouched(), unvouched());
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("own.pem"), own).unwrap();
    std::fs::write(dir.path().join("other.pem"), other).unwrap();
    let run = |url: &str, more: &[&str]| {
        let load =
            ["-i", "4", "--sessions", "2", "--ui", "none", "--attach", "none", "--gate", "errors == 0"];
        let run = dyno()
            .current_dir(dir.path())
            .args(["run", "--url", url])
            .args(load)
            .args(more)
            .output()
            .unwrap();
        (code(&run), stderr(&run))
    };
    let url = format!("https://127.0.0.1:{port}/");
    let (code, told) = run(&url, &["--ca", "other.pem"]);
    assert!(
        code == Some(6) && told.contains("invalid peer certificate") && told.contains("--insecure"),
        "{told}"
    );
    for trusting in [&["--insecure"][..], &["--ca", "own.pem"]] {
        let (code, told) = run(&url, trusting);
        assert_eq!(code, Some(0), "{trusting:?}: {told}");
    }
    let plain = "http://127.0.0.1:1/";
    for (url, flags, says) in [
        (plain, &["--insecure"][..], "--insecure: the target is not reached over TLS"),
        (plain, &["--ca", "own.pem"][..], "--ca: the target is not reached over TLS"),
        (&*url, &["--ca", "none.pem"][..], "--ca: none.pem cannot be read: there is no such file"),
    ] {
        let (code, told) = run(url, flags);
        assert!(code == Some(2) && told.contains(says), "{told}");
    }
}

#[test]
fn tls_settings_of_no_use_are_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let section = |label: &str| format!("-----BEGIN {label}-----\nAA==\n-----END {label}-----\n");
    std::fs::write(dir.path().join("client.pem"), section("CERTIFICATE")).unwrap();
    std::fs::write(dir.path().join("client.key"), section("PRIVATE KEY")).unwrap();
    let text = "[target]\nurl = \"https://127.0.0.1:1\"\ntls = { cert = \"client.pem\", key = \"client.key\", insecure = true }\n\
        [[phase]]\nname = \"a\"\nfor = \"1s\"\nsessions = 1\n\
        [[session]]\nname = \"s\"\nsteps = [{ name = \"g\", get = \"/\" }]\n";
    std::fs::write(dir.path().join("a.toml"), text).unwrap();
    let output = dyno().current_dir(dir.path()).args(["run", "a.toml", "--ui", "none"]).output().unwrap();
    assert_eq!(code(&output), Some(2), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("TLS cannot be spoken: the client's certificate"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_inspector_and_a_jvm_that_are_not_there_are_code_6() {
    let nobody = "127.0.0.1:1";
    for attach in [format!("node={nobody}"), "node=999999999".to_owned(), "jvm=999999999".to_owned()] {
        let output = dyno()
            .args(["watch", "http://127.0.0.1:1", "--for", "1s", "--ui", "none", "--attach", &attach])
            .output()
            .unwrap();
        assert_eq!(code(&output), Some(6), "{attach}: {}", stderr(&output));
        assert!(stderr(&output).contains("cannot attach the "), "{attach}: {}", stderr(&output));
    }
}

#[test]
fn a_taken_port_is_code_2_and_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = dyno().args(["backend", "--listen", &address]).env("DYNO_TOKEN", "t").output().unwrap();
    assert_eq!(code(&output), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
}

#[test]
fn too_few_descriptors_are_said_before_the_run() {
    let script = format!("ulimit -n 64; exec {} run flash-sale --ui none", env!("CARGO_BIN_EXE_dyno"));
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("sh").current_dir(dir.path()).args(["-c", &script]).output().unwrap();
    assert_eq!(code(&output), Some(2), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(text.contains("descriptor") && text.contains("64"), "{text}");
}

#[test]
fn a_gate_that_names_nothing_is_refused_before_the_run() {
    let output = dyno().args(["run", "flash-sale", "--gate", "p99 < 5ms for nobody"]).output().unwrap();
    assert_eq!(code(&output), Some(2));
    assert!(stderr(&output).contains("nobody"), "{}", stderr(&output));
}

#[test]
fn a_gate_that_the_load_can_never_meet_is_refused_with_what_it_comes_to() {
    let load = ["run", "--url", "http://127.0.0.1:9/", "--rate", "10/s", "--for", "10s"];
    for (gate, says) in [
        ("completed >= 5000/s", "comes to 10 steps/s at most"),
        ("p99 < 1s over 30s", "its window is 30s"),
        ("p99 < 1s in phase peak", "has no phase `peak`"),
    ] {
        let output = dyno().args(load).args(["--gate", gate]).output().unwrap();
        let text = stderr(&output);
        assert_eq!(code(&output), Some(2), "{text}");
        assert!(text.contains(gate) && text.contains(says), "{text}");
    }
    let output = dyno().args(load).args(["--gate", "p99 < 1s", "--gate", "p99 > 2s"]).output().unwrap();
    assert_eq!(code(&output), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("can never hold together"), "{}", stderr(&output));
}

#[test]
fn a_collector_that_cannot_be_spoken_to_is_refused_before_the_run() {
    let output = dyno().args(["run", "flash-sale", "--otlp", "https://127.0.0.1:4318"]).output().unwrap();
    assert_eq!(code(&output), Some(2));
    assert!(stderr(&output).contains("http://127.0.0.1:4318"), "{}", stderr(&output));
    let output = dyno().args(["run", "flash-sale", "--gate", "p99 < 1s abort after soon"]).output().unwrap();
    assert_eq!(code(&output), Some(2));
    assert!(stderr(&output).contains("soon"), "{}", stderr(&output));
}

#[test]
fn a_folder_with_something_in_it_is_not_written_into() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("precious"), "x").unwrap();
    let output = dyno().args(["run", "--out"]).arg(dir.path()).output().unwrap();
    assert_eq!(code(&output), Some(2));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_is_no_recording_is_said_to_be_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.dyno");
    std::fs::write(&path, "just some text, long enough").unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let out = dir.path().join("out").display().to_string();
    let wrong = [
        (path, "is not a dyno recording: it does not begin with `dynorec`; a run's folder holds one"),
        (file("empty", b""), "ends before the description of the run"),
        (file("cut", b"dynorec\n\x01\0\0\0\x01\0"), "ends before the description of the run"),
        (
            file("newer", b"dynorec\n\x07\0\0\0"),
            "was written in format 7; this dyno reads up to format 1: use a newer dyno",
        ),
        (dir.path().join("nowhere"), "give a run's folder, such as dyno-runs/ID"),
        (file("packed", b"\x1f\x8b\x08\0"), "cannot read the recording"),
    ];
    let commands: [&[&str]; 7] = [
        &["report"],
        &["explain"],
        &["replay", "--ui", "plain"],
        &["recording", "info"],
        &["recording", "verify"],
        &["recording", "trim", "--out", &out],
        &["redact", "--out", &out],
    ];
    for (path, says) in &wrong {
        for command in &commands {
            let output = dyno().args(*command).arg(path).output().unwrap();
            let text = stderr(&output);
            assert_eq!(code(&output), Some(2), "{command:?}: {text}");
            assert!(text.contains(says) && text.contains(&path.display().to_string()), "{command:?}: {text}");
            assert_eq!(text.trim_end().lines().count(), 1, "one message: {text}");
            // Nothing half made stands in the way of the next attempt.
            assert!(!Path::new(&out).join("recording.dyno").exists());
            let _ = std::fs::remove_dir(&out);
        }
    }
    // What is no file may be a target to watch.
    let output = dyno().args(["watch", "--ui", "plain"]).arg(&wrong[0].0).output().unwrap();
    assert_eq!(code(&output), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains(wrong[0].1), "{}", stderr(&output));
}

#[test]
fn without_a_run_the_newest_is_meant_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let at = |args: &[&str]| dyno().current_dir(dir.path()).args(args).output().unwrap();
    for command in ["explain", "replay", "report"] {
        let output = at(&[command]);
        assert_eq!(code(&output), Some(2), "{command}");
        assert!(stderr(&output).contains("there is no run in dyno-runs"), "{}", stderr(&output));
    }
    let runs = dir.path().join("dyno-runs");
    for (name, seconds) in [("older", 1), ("newer", 2)] {
        std::fs::create_dir_all(runs.join(name)).unwrap();
        let kept = if name == "newer" { "leak" } else { "stampede" };
        let recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiler/tests/recordings");
        let file = runs.join(name).join("recording.dyno.gz");
        std::fs::write(&file, std::fs::read(recordings.join(kept).join("recording.dyno.gz")).unwrap())
            .unwrap();
        let written = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(written).unwrap();
    }
    let (named, unnamed) = (at(&["explain", "dyno-runs/newer", "--json"]), at(&["explain", "--json"]));
    assert_eq!(unnamed.stdout, named.stdout);
    assert_eq!(code(&unnamed), Some(0), "{}", stderr(&unnamed));
    assert!(stderr(&unnamed).contains("the newest run: dyno-runs/newer"), "{}", stderr(&unnamed));
    let report = at(&["report"]);
    assert_eq!(code(&report), Some(0), "{}", stderr(&report));
    assert!(runs.join("newer/report.html").exists() && !runs.join("older/report.html").exists());
    let said = String::from_utf8_lossy(&report.stdout).into_owned();
    assert_eq!(said.lines().last(), Some("more: dyno explain dyno-runs/newer"), "{said}");
}

#[test]
fn a_recording_is_no_pipe() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
    let output = dyno().current_dir(dir.path()).args(["explain", "pipe"]).output().unwrap();
    assert_eq!(code(&output), Some(2));
    assert!(stderr(&output).contains("this is not a regular file"), "{}", stderr(&output));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let script = format!("{} scenarios list | head -1", env!("CARGO_BIN_EXE_dyno"));
    let output = Command::new("bash").args(["-o", "pipefail", "-c", &script]).output().unwrap();
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
}

/// A run in `folder` as a CI server starts it; where the shop has no `page`, every step fails.
fn in_ci(url: &str, folder: &Path, page: &str) -> Command {
    std::fs::create_dir(folder).unwrap();
    let scenario = folder.join("load.toml");
    // Long enough that two of them can be compared.
    let text = "[target]\nurl = 'bundled'\n[[phase]]\nname = 'all'\nfor = '7s'\nsessions = 5\n[[session]]\nname = 's'\n\
        steps = [{ repeat = 'until-end', every = '50ms', steps = [{ name = 'page', get = 'PAGE' }] }]\n";
    std::fs::write(&scenario, text.replace("PAGE", page)).unwrap();
    let mut command = dyno();
    command.arg("run").arg(scenario).args(["--target", url, "--attach", "none"]);
    command.args(["--gate", "errors < 1%", "--ci", "--out"]).arg(folder.join("run"));
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", folder.join("step-summary.md"));
    command
}

/// Two runs at once; nothing of them is measured here, but whether steps fail. The first has a log that is read no further than its
/// first line, the second a summary that nobody reads.
fn unread(url: &str, good: &Path, bad: &Path) -> [Option<i32>; 2] {
    let mut bad = in_ci(url, bad, "/no-such-page");
    // Of another seed, so that they are two runs even if they start in one millisecond.
    let mut bad = bad.args(["--seed", "2"]).stdout(closed()).stderr(Stdio::null()).spawn().unwrap();
    let mut good = in_ci(url, good, "/healthz");
    let mut good = good.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(good.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("::group::"), "{line}");
    [good.wait().unwrap().code(), bad.wait().unwrap().code()]
}

/// Mistakes of the surroundings; tests may be root's, whom no permission stops.
fn surroundings(at: &Path, run: &str, other: &str) {
    std::fs::write(at.join("file"), "x").unwrap();
    // That folder of the kernel's is always empty, and takes no file from anybody.
    let (sealed, url) = ("/proc/tty/ldisc", "http://127.0.0.1:1/");
    let wrong: &[(&[&str], &str)] = &[
        (&["compare", run, other, "--html", "/proc/x.html"], "cannot write /proc/x.html: "),
        (&["report", run, "--out", "/proc/x"], "cannot make /proc/x: "),
        (&["baseline", "save", "main", run, "--baselines", "file/kept"], "cannot make file/kept: "),
        (&["redact", run, "--out", sealed], "cannot write into /proc/tty/ldisc: "),
        (&["run", "--url", url, "--ui", "none", "--out", sealed], "cannot write into /proc/tty/ldisc: "),
    ];
    for (args, says) in wrong {
        let output = dyno().current_dir(at).args(*args).output().unwrap();
        assert_eq!(code(&output), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn a_reader_that_leaves_and_a_place_that_takes_nothing_change_no_outcome() {
    let _machine = common::whole_machine();
    let (url, _shop) = common::shop(1);
    let dir = tempfile::tempdir().unwrap();
    let mut tries = (0..3).map(|again| {
        let [good, bad] = ["good", "bad"].map(|side| dir.path().join(format!("{side}-{again}")));
        (unread(&url, &good, &bad), good, bad)
    });
    // Those that the machine starved are invalid, and are run again.
    let valid = tries.find(|(codes, ..)| !codes.contains(&Some(5)));
    let (codes, good, bad) = valid.expect("one of three tries is valid");
    assert_eq!(codes, [Some(0), Some(3)]);
    for side in [&good, &bad] {
        for file in ["run/report.html", "run/ci/junit.xml", "step-summary.md"] {
            assert!(side.join(file).exists(), "{}", side.join(file).display());
        }
    }
    let [good, bad] = [good, bad].map(|side| side.join("run").display().to_string());
    let mut compare = dyno();
    compare.args(["compare", &good, &bad, "--json"]).stdout(closed());
    assert_eq!(compare.status().unwrap().code(), Some(4));
    surroundings(dir.path(), &good, &bad);
}

fn program(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The runtime is a script here: what it does with the shop is not looked at.
#[test]
fn a_token_that_was_made_up_goes_with_the_twin_and_a_runtime_that_is_too_old_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let [programs, tokens] = ["programs", "tokens"].map(|name| dir.path().join(name));
    std::fs::create_dir(&programs).unwrap();
    std::fs::create_dir(&tokens).unwrap();
    let node = "[ \"$1\" = --version ] && { echo v22.0.0; exit 0; }\n[ -n \"$ENDS\" ] && exit \"$ENDS\"\n\
        trap 'exit 0' TERM\necho ready\ni=0\nwhile [ $i -lt 400 ]; do sleep 0.05; i=$((i + 1)); done";
    program(&programs, "node", node);
    program(&programs, "npm", "exit 0");
    program(&programs, "bun", "echo 1.2.23");
    let mut paths = vec![programs];
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let backend = |runtime: &str| {
        let mut command = dyno();
        command.args(["backend", "--listen", "127.0.0.1:0", "--runtime", runtime]);
        command.env("PATH", std::env::join_paths(&paths).unwrap()).env("TMPDIR", &tokens);
        command.env("XDG_CACHE_HOME", dir.path().join("cache"));
        command
    };
    let left = || std::fs::read_dir(&tokens).unwrap().count();
    for asked in [Signal::INT, Signal::TERM] {
        let mut child = Guarded(backend("node").stdout(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!((line.as_str(), left()), ("ready\n", 1));
        signal(child.0.id(), asked);
        assert_eq!(child.0.wait().unwrap().code(), Some(0));
        assert_eq!(left(), 0, "no token is left");
    }
    for (ends, comes_to) in [("0", 0), ("2", 2), ("7", 1)] {
        let output = backend("node").env("ENDS", ends).output().unwrap();
        assert_eq!(code(&output), Some(comes_to), "{}", stderr(&output));
        assert_eq!(left(), 0, "no token is left");
    }
    let output = backend("bun").output().unwrap();
    assert_eq!(code(&output), Some(2));
    assert!(stderr(&output).contains("`bun` is 1.2.23: the shop wants 1.3 or later"), "{}", stderr(&output));
}

/// Needs the right to mount, as the next one.
#[test]
fn a_full_disk_is_said_by_whoever_writes_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=8k tmpfs {disk} && exec {dyno} redact {recordings}/leak --out {disk}/run",
        disk = disk.display(),
        dyno = env!("CARGO_BIN_EXE_dyno"),
        recordings = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiler/tests/recordings").display(),
    );
    let output = Command::new("unshare").args(["-rm", "sh", "-c", &script]).output().unwrap();
    assert_eq!(code(&output), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("run/recording.dyno: No space left"), "{}", stderr(&output));
}

/// Needs the right to mount; without it the test says so and fails, because a full disk cannot be had otherwise.
#[test]
fn a_full_disk_ends_the_recording_not_the_run() {
    let _machine = common::whole_machine();
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    // In a mount namespace of its own, so nothing is left behind.
    let script = format!(
        "mount -t tmpfs -o size=8k tmpfs {disk} && {dyno} run --url $1 --sessions 20 --for 6s --ui plain --out {disk}/run; {dyno} recording verify {disk}/run",
        disk = disk.display(),
        dyno = env!("CARGO_BIN_EXE_dyno"),
    );
    let (url, _shop) = common::shop(2);
    let url = format!("{url}/healthz");
    let output = Command::new("unshare").args(["-rm", "sh", "-c", &script, "sh", &url]).output().unwrap();
    let text = stderr(&output);
    assert!(text.contains("the recording ended at"), "said at once: {text}");
    assert!(text.contains("No space left"), "{text}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("verdict"), "the summary is still printed: {stdout}\n{text}");
    assert!(
        stdout.contains("every block is whole; it has no end"),
        "what came before is kept: {stdout}\n{text}"
    );
}

#[test]
fn a_store_that_is_none_or_is_not_there_is_an_environment_error_and_its_password_is_not_shown() {
    let typed = dyno().args(["backend", "--database", "postgres://me:pa55@127.0.0.1/shop"]).output().unwrap();
    assert_eq!(code(&typed), Some(2));
    assert!(stderr(&typed).contains("put the URL into DYNO_DATABASE_URL"), "{}", stderr(&typed));
    let nobody = "127.0.0.1:1";
    for (url, says) in [
        (format!("postgres://me:pa55@{nobody}/shop"), "PostgreSQL at postgres://127.0.0.1:"),
        ("mysql://me:pa55@127.0.0.1/shop".to_owned(), "expected `sqlite` or `postgres://"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut run = dyno();
        run.args(["run", "flash-sale", "--ui", "none", "--out"]).arg(dir.path().join("run"));
        let output = run.env("DYNO_DATABASE_URL", url).output().unwrap();
        assert_eq!(code(&output), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
        assert!(!stderr(&output).contains("pa55"), "{}", stderr(&output));
    }
    assert!(!stderr(&typed).contains("pa55"));
}

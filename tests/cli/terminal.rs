//! What a terminal gets that a pipe does not: colours, and a sign of life. And what nobody gets: a whole credential.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::support::{Place, TestGateway, people::setup, place_with};

const ESCAPE: char = '\u{1b}';

/// Runs a command line, on a terminal if wanted, with more environment; everything it wrote.
fn run(gateway: &TestGateway, terminal: bool, line: &str, environment: &[(&str, &str)]) -> String {
    let mut command = shell(gateway, terminal, line);
    command.envs(environment.iter().copied());
    let output = command.stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// `script` gives a command a terminal of its own.
fn shell(gateway: &TestGateway, terminal: bool, line: &str) -> Command {
    let of_gateway = gateway.setup.command();
    let line = format!("{} {line}", of_gateway.get_program().to_string_lossy());
    let mut command = Command::new(if terminal { "script" } else { "sh" });
    match terminal {
        true => command.args(["-qec", &line, "/dev/null"]),
        false => command.args(["-c", &line]),
    };
    command.env_clear().env("TERM", "xterm").env("SHELL", "/bin/sh");
    command.envs(of_gateway.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[test]
fn colours_are_for_terminals_and_as_they_are_asked_for() {
    let Place { gateway, .. } = place_with(setup(), &[]);
    type Environment = &'static [(&'static str, &'static str)];
    let (plain, fancy): (Environment, Environment) = (&[("NO_COLOR", "1")], &[("CLICOLOR_FORCE", "1")]);
    let (none, dumb): (Environment, Environment) = (&[], &[("TERM", "dumb")]);
    for (terminal, line, environment, coloured) in [
        (true, "doctor", none, true),
        (false, "doctor", none, false),
        (true, "doctor", plain, false),
        (true, "doctor --color never", none, false),
        (true, "doctor --color always", plain, true),
        (false, "doctor --color always", none, true),
        (false, "doctor", fancy, true),
        (false, "doctor --color never", fancy, false),
        (true, "doctor", dumb, false),
        (true, "workspace list -o json", none, false),
        // A failure goes to stderr, which follows the same rules.
        (true, "workspace audit nowhere", none, true),
        (false, "workspace audit nowhere", none, false),
    ] {
        let said = run(&gateway, terminal, line, environment);
        assert!(said.len() > 10, "{line}: {said:?}");
        let styled = said.contains("\u{1b}[3") || said.contains("\u{1b}[1") || said.contains("\u{1b}[2m");
        assert_eq!(styled, coloured, "{line} with {environment:?}, terminal: {terminal}: {said:?}");
        assert!(terminal || coloured || !said.contains(ESCAPE), "{line}: {said:?}");
    }
}

#[test]
fn credentials_are_shown_whole_when_they_are_made_and_never_again() {
    let Place { gateway, admin, token, .. } = place_with(setup(), &[]);
    let saved = |more: &[&str], stdin: &str| gateway.aerostack("owner", more, stdin);
    let (exit, made, _) = saved(&["key", "create", "CI"], "");
    assert_eq!(exit, 0);
    let key = made.trim();
    let (_, issued, _) = saved(&["workspace", "token", "create", "eng", "--name", "Bob", "--output", "token"], "");
    let whole = [admin.key.as_str(), &token.raw, key, issued.trim()];
    assert!(whole.iter().all(|one| one.len() == 40), "{whole:?}");
    let url = format!("http://{}", gateway.address);
    let (exit, _, said) =
        saved(&["login", "--token-stdin", "--profile", "again", "--gateway", &url], &format!("{key}\n"));
    assert_eq!(exit, 0, "{said}");
    let mut shown = String::new();
    for line in [
        "workspace token list eng",
        "workspace token list eng -o json",
        "workspace token list eng -o csv",
        "workspace token revoke eng --name Bob",
        "key list",
        "key list -o json",
        "profile list",
        "profile list -o json",
        "whoami -v",
        "ping --debug",
        "workspace list -v -o json",
        "workspace audit eng",
        "audit list -o json",
        "connect --print cursor --workspace eng",
        "doctor -v",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let (_, out, err) = saved(&words, "");
        shown += &format!("\n> {line}\n{out}{err}");
    }
    for one in whole {
        assert!(!shown.contains(one), "{one} is in {shown}");
        let end = &one[36..];
        assert!(shown.contains(end), "…{end} is what it is known by: {shown}");
    }
}

/// A gateway that answers when it is told to, or after a while.
fn slow_gateway(patience: Duration) -> (String, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (go, told) = mpsc::channel();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let mut client = client;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if client.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            let _told_or_tired = told.recv_timeout(patience);
            let body = r#"{"data":[],"next_cursor":null}"#;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _gone = client.write_all(answer.as_bytes());
        }
    });
    (url, go)
}

#[test]
fn a_terminal_shows_that_something_goes_on_and_a_pipe_does_not() {
    let gateway = setup().start();
    let waiting = "waiting for the gateway";
    let (url, go) = slow_gateway(Duration::from_secs(30));
    let environment = [("AEROSTACK_URL", url.as_str()), ("AEROSTACK_API_KEY", "aak_x")];
    let mut command = shell(&gateway, true, "workspace list");
    let mut child = command.envs(environment).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut out, mut seen) = (child.stdout.take().unwrap(), Vec::new());
    let mut read = |until: &str| {
        let mut chunk = [0; 256];
        while !String::from_utf8_lossy(&seen).contains(until) {
            match out.read(&mut chunk).unwrap() {
                0 => break,
                n => seen.extend_from_slice(&chunk[..n]),
            }
        }
        String::from_utf8_lossy(&seen).into_owned()
    };
    // It is there before the answer is, and gone when the answer is shown.
    let before = read(waiting);
    assert!(before.contains(waiting) && !before.contains("WORKSPACE"), "{before:?}");
    go.send(()).unwrap();
    let whole = read("no end of it, ever");
    assert!(child.wait().unwrap().success(), "{whole:?}");
    let last = whole.rsplit("\r\u{1b}[K").next().unwrap();
    assert!(last.contains("WORKSPACE") && !last.contains(waiting), "{whole:?}");

    for (terminal, line) in [(false, "workspace list"), (true, "workspace list -q")] {
        let (url, _go) = slow_gateway(Duration::from_millis(800));
        let said = run(&gateway, terminal, line, &[("AEROSTACK_URL", url.as_str()), ("AEROSTACK_API_KEY", "aak_x")]);
        assert!(!said.contains(waiting), "{line}: {said:?}");
    }
}

//! Programs as MCP servers of a test's gateway: the fixture child, its definition, and what is left of it afterwards.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::json;

use super::{Place, TestGateway, place_with, process::Setup};

/// The fixture child.
pub fn child() -> PathBuf {
    example("stdio_child")
}

/// The program of an example.
pub fn example(name: &str) -> PathBuf {
    let bin = Path::new(env!("CARGO_BIN_EXE_aerostack")).parent().expect("a folder");
    let program = bin.join("examples").join(name);
    assert!(program.is_file(), "{} is missing: cargo build --example {name}", program.display());
    program
}

/// Writes a definition, as somebody on the gateway's machine does.
pub fn write(setup: &Setup, slug: &str, text: &str) {
    let folder = setup.data_dir().join("servers.d");
    fs::create_dir_all(&folder).expect("a folder");
    let file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(folder.join(format!("{slug}.toml")));
    std::io::Write::write_all(&mut file.expect("a file"), text.as_bytes()).expect("written");
}

/// The definition of the fixture in these modes.
pub fn definition(modes: &[&str]) -> String {
    format!("command = {:?}\nargs = {modes:?}\n", child().display().to_string())
}

/// An MCP server on the official SDK, as a process: `mcp_fixture`.
pub struct Fixture {
    child: std::process::Child,
    era: &'static str,
    pub address: SocketAddr,
}

impl Fixture {
    /// Starts it; `era`: `--legacy-only` or `--modern-only`.
    pub fn start(era: &'static str) -> Self {
        Fixture::at("127.0.0.1:0", era)
    }
    fn at(address: &str, era: &'static str) -> Self {
        let mut command = Command::new(example("mcp_fixture"));
        let mut child = command.args(["--listen", address, era]).stdout(Stdio::piped()).spawn().expect("a fixture");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let address = line.split("://").nth(1).and_then(|rest| rest.split('/').next()?.parse().ok());
        Fixture { child, era, address: address.unwrap_or_else(|| panic!("where does it listen? {line}")) }
    }
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
    /// Kills it without a word and starts it again at the same address.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("over");
        *self = Fixture::at(&self.address.to_string(), self.era);
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _already_over = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl TestGateway {
    /// Defines the fixture in these modes and puts it into a workspace.
    #[track_caller]
    pub fn program(&self, workspace: &str, slug: &str, modes: &[&str]) {
        self.define(workspace, slug, &definition(modes));
    }
    /// Puts a program with that definition into a workspace.
    #[track_caller]
    pub fn define(&self, workspace: &str, slug: &str, definition: &str) {
        write(&self.setup, slug, definition);
        let done = self.admin().post("/mcp-servers:reload", json!({})).expect(200).json();
        assert_eq!(done["problems"], json!([]), "{done}");
        self.admin().install(workspace, slug);
    }
    /// Process ids of everything its programs are or have started: launchers, programs, descendants.
    pub fn family(&self) -> Vec<u32> {
        family(&self.setup.data_dir())
    }
}

/// A gateway with programs in its workspace `eng`.
#[track_caller]
pub fn programs(setup: Setup, modes: &[(&str, &[&str])]) -> Place {
    // Tests ask again until something has happened.
    let setup = setup.set("limits.requests_per_minute", 0).set("limits.admin_requests_per_minute", 1_000_000);
    let place = place_with(setup, &[]);
    modes.iter().for_each(|(slug, modes)| place.gateway.program("eng", slug, modes));
    place
}

/// Everything that runs with a folder in `data_dir` as its home, or was started by its launcher.
pub fn family(data_dir: &Path) -> Vec<u32> {
    let mark = data_dir.join("children").display().to_string();
    let holds = |file: PathBuf| {
        let bytes = fs::read(file).unwrap_or_default();
        String::from_utf8_lossy(&bytes).contains(&mark)
    };
    let all = fs::read_dir("/proc").expect("proc").flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    let home = |id: &u32| ["environ", "cmdline"].iter().any(|file| holds(format!("/proc/{id}/{file}").into()));
    ids.filter(|id| home(id)).collect()
}

/// Children of `parent` that have ended and were not taken note of.
pub fn zombies(parent: u32) -> Vec<String> {
    let all = fs::read_dir("/proc").expect("proc").flatten();
    let stats = all.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats
        .filter(|stat| {
            let rest: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace().collect();
            rest.first() == Some(&"Z") && rest.get(1) == Some(&parent.to_string().as_str())
        })
        .collect()
}

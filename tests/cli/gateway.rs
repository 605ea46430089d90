//! A gateway of its own for a test: the real binary in a temporary folder, and an MCP server for it to reach.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use serde_json::{Value, json};

use crate::support::Accounts;

/// The binary under test.
const AEROSTACK: &str = env!("CARGO_BIN_EXE_aerostack");

/// A running gateway; it ends with the value.
pub struct Gateway {
    process: Child,
    folder: tempfile::TempDir,
    /// Its URL.
    pub url: String,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// On stdout.
    pub out: String,
    /// On stderr.
    pub err: String,
    /// Its exit code.
    pub exit: i32,
}

impl Gateway {
    /// Starts one on a free port and waits until it says that it is ready.
    pub fn start() -> Self {
        Gateway::start_with(&[])
    }
    /// The same with settings in its environment.
    pub fn start_with(settings: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(AEROSTACK);
        command.args([
            "serve",
            "--bind",
            "127.0.0.1:0",
            "--ops-bind",
            "127.0.0.1:0",
            "--namespace",
            "acme",
            "--data-dir",
        ]);
        command.arg(folder.path().join("data")).stdout(Stdio::piped()).stderr(Stdio::null());
        at_home(&mut command, folder.path()).envs(settings.iter().map(|(name, value)| (name, value)));
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut url = None;
        for line in lines {
            let line = line.unwrap();
            url = url.or(line
                .trim()
                .strip_prefix("Gateway")
                .map(|rest| rest.trim().trim_end_matches("/ws/<workspace>").to_owned()));
            if line.contains("Next") {
                break;
            }
        }
        Gateway { process, folder, url: url.expect("the gateway did not start") }
    }
    /// Runs a command line (words separated by spaces, quotes as in a shell).
    pub fn run(&self, line: &str) -> Said {
        self.run_with(line, "")
    }
    /// The same with something on stdin.
    pub fn run_with(&self, line: &str, stdin: &str) -> Said {
        let script = format!("aerostack {line}");
        self.shell(&["-c", &script], stdin)
    }
    /// Runs a command line as somebody who is logged in under a profile of that name, in a folder below this one.
    pub fn run_as(&self, who: &str, folder: &str, line: &str) -> Said {
        self.shell(&["-c", &format!("cd {folder} && AEROSTACK_PROFILE={who} aerostack {line}")], "")
    }
    /// Lets somebody in who is logged in under a profile of that name, and acts in `namespace`.
    pub fn person(&self, name: &str, namespace: &str, role: Option<&str>) {
        let accounts = Accounts::in_folder(&self.path("data"));
        accounts.make(name);
        if let Some(role) = role {
            accounts.join(namespace, name, role);
        }
        let login = format!("login --url {} --token-stdin --profile {name}", self.url);
        let said = self.run_with(&login, &accounts.key(name, namespace));
        assert_eq!(said.exit, 0, "{said:?}");
        self.ok("profile use local");
    }
    /// Runs a shell script file with arguments.
    pub fn script(&self, file: &Path, arguments: &[&str]) -> Said {
        let file = file.display().to_string();
        self.shell(&[&[file.as_str()], arguments].concat(), "")
    }
    pub fn shell(&self, arguments: &[&str], stdin: &str) -> Said {
        let mut command = Command::new("bash");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = at_home(&mut command, self.folder.path()).spawn().unwrap();
        // A command that does not read stdin may be gone already.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { out: text(output.stdout), err: text(output.stderr), exit: output.status.code().unwrap_or(-1) }
    }
    /// Runs a command that must succeed; its stdout.
    pub fn ok(&self, line: &str) -> String {
        let said = self.run(line);
        assert_eq!(said.exit, 0, "aerostack {line}\n{}{}", said.out, said.err);
        said.out
    }
    /// A path in the gateway's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    /// A file in the gateway's folder.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
    /// Calls a tool through the gateway; the HTTP status and the body.
    pub fn call(&self, workspace: &str, token: &str, tool: &str) -> (u16, Value) {
        let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}, "_meta": meta}}).to_string();
        let address = self.url.trim_start_matches("http://");
        let mut socket = TcpStream::connect(address).unwrap();
        write!(
            socket,
            "POST /ws/{workspace} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n\
             Mcp-Name: {tool}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::String(body.to_owned())))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// No settings of whoever runs the tests, an own home, and the binary under its name on the path.
fn at_home<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let link = bin.join("aerostack");
    if !link.exists() {
        std::os::unix::fs::symlink(AEROSTACK, link).unwrap();
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    command.env_clear().env("PATH", path).env("HOME", folder).env("LANG", "C.UTF-8").current_dir(folder)
}

/// An MCP server with the tools of `names`; answers a call with the headers it got. Lives as long as the process.
pub fn mcp_server(names: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            thread::spawn(move || while serve_one(&socket, names).is_some() {});
        }
    });
    url
}

fn serve_one(socket: &TcpStream, names: &[&str]) -> Option<()> {
    let mut reader = BufReader::new(socket);
    let (mut head, mut headers) = (String::new(), HashMap::new());
    reader.read_line(&mut head).ok().filter(|read| *read > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let tool = |name: &&str| json!({"name": name, "inputSchema": {"type": "object"}});
    let result = match request["method"].as_str().unwrap_or_default() {
        "initialize" => {
            json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "fixture", "version": "1"}})
        }
        "tools/list" => json!({"tools": names.iter().map(tool).collect::<Vec<_>>()}),
        "tools/call" => json!({"content": [{"type": "text", "text": format!("{headers:?}")}]}),
        _ => Value::Null,
    };
    let (status, body) = match (request.get("id"), result) {
        (None, _) if head.starts_with("POST") => ("202 Accepted", String::new()),
        (None, _) => ("405 Method Not Allowed", String::new()),
        (Some(id), Value::Null) => {
            ("200 OK", json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no"}}).to_string())
        }
        (Some(id), result) => ("200 OK", json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()),
    };
    let mut socket = socket;
    write!(
        socket,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()
}

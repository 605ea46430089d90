//! Every client revision with every server revision over every transport: each cell of the matrix works, or is on the
//! closed list of refusals. The table is printed, and stands in the documentation.

use std::{
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use serde_json::json;

use crate::support::{
    Editor, TestGateway,
    client::{Client, Exchange, REVISIONS},
    mcp::MODERN,
    script::Script,
    scripted, until,
};

/// Ends the name of a program that each client has for itself.
const OWN: &str = "-own";
/// The table, as the documentation shows it.
const DOCUMENTED: &str = include_str!("../../src/docs/compatibility.md");

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Streamable,
    HttpSse,
    Stdio,
}

impl Transport {
    const ALL: [Transport; 3] = [Transport::Streamable, Transport::HttpSse, Transport::Stdio];

    fn shown(self) -> &'static str {
        match self {
            Transport::Streamable => "Streamable HTTP",
            Transport::HttpSse => "HTTP+SSE",
            Transport::Stdio => "stdio",
        }
    }
}

/// What a client does with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feature {
    Tools,
    Progress,
    Elicitation,
    Sampling,
    Resources,
    Prompts,
    ListChange,
    Cancel,
}

impl Feature {
    const ALL: [Feature; 8] = [
        Feature::Tools,
        Feature::Progress,
        Feature::Elicitation,
        Feature::Sampling,
        Feature::Resources,
        Feature::Prompts,
        Feature::ListChange,
        Feature::Cancel,
    ];
}

/// What must come of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Works,
    /// The client declared no such capability: whoever asks is told so, and the call ends.
    NotDeclared,
    /// No revision has this combination.
    Absent,
}

impl Expected {
    fn mark(self) -> char {
        match self {
            Expected::Works => '✓',
            Expected::NotDeclared => 'c',
            Expected::Absent => '–',
        }
    }
}

/// The closed list of what does not work.
fn expected(client: &str, server: &str, transport: Transport, feature: Feature) -> Expected {
    let exists = match transport {
        Transport::Streamable => server != "2024-11-05",
        Transport::HttpSse => server != MODERN,
        Transport::Stdio => true,
    };
    // Elicitation came with 2025-06-18.
    let elicits = |revision: &str| revision >= "2025-06-18";
    match feature {
        _ if !exists => Expected::Absent,
        Feature::Elicitation if !elicits(server) => Expected::Absent,
        Feature::Elicitation if !elicits(client) => Expected::NotDeclared,
        _ => Expected::Works,
    }
}

/// One server in the workspace.
#[derive(Clone)]
struct Server {
    revision: &'static str,
    transport: Transport,
    slug: String,
}

impl Server {
    fn exists(&self) -> bool {
        expected(MODERN, self.revision, self.transport, Feature::Tools) != Expected::Absent
    }
    /// A program can only ask where each client has one of its own; what it changes there, others do not see.
    fn tool(&self, name: &str) -> String {
        let asks = self.transport == Transport::Stdio && matches!(name, "ask" | "sample");
        let own = if asks { OWN } else { "" };
        format!("{}{own}__{name}", self.slug).replace('-', "_")
    }
}

fn all_servers() -> Vec<Server> {
    let mut all = Vec::new();
    for transport in Transport::ALL {
        for revision in REVISIONS {
            let kind = match transport {
                Transport::Streamable => "http",
                Transport::HttpSse => "sse",
                Transport::Stdio => "stdio",
            };
            all.push(Server { revision, transport, slug: format!("{kind}-{revision}") });
        }
    }
    all
}

/// What came of one cell, in words.
fn outcome(client: &mut Client, server: &Server, feature: Feature) -> Result<(), String> {
    let who = client.revision;
    let call = |tool: &str| json!({ "name": server.tool(tool), "arguments": { "who": who } });
    let counted = |client: &mut Client, what: &str| -> usize {
        client.ask("tools/call", call(what)).text().parse().unwrap_or_default()
    };
    let said = |exchange: &Exchange, wanted: &str| match exchange.text() {
        text if text == wanted => Ok(()),
        _ => Err(format!("{exchange:?}")),
    };
    match feature {
        Feature::Tools => said(&client.ask("tools/call", call("echo")), "echo"),
        Feature::Progress => {
            let mut params = call("progress");
            params["_meta"]["progressToken"] = json!("a token");
            let exchange = client.ask("tools/call", params);
            let steps = exchange.notices.iter().filter(|notice| {
                notice["method"] == "notifications/progress" && notice["params"]["progressToken"] == "a token"
            });
            if steps.count() == 3 { said(&exchange, "progressed") } else { Err(format!("{exchange:?}")) }
        }
        Feature::Elicitation => said(&client.ask("tools/call", call("ask")), "elicited"),
        Feature::Sampling => said(&client.ask("tools/call", call("sample")), "sampled"),
        Feature::Resources => {
            let uri = format!("script://{}/doc", server.slug);
            let list = client.ask("resources/list", json!({}));
            let listed =
                list.answer["result"]["resources"].as_array().is_some_and(|all| all.iter().any(|r| r["uri"] == uri));
            let read = client.ask("resources/read", json!({ "uri": uri }));
            let text = read.answer["result"]["contents"][0]["text"] == format!("document of {}", server.slug);
            if listed && text { Ok(()) } else { Err(format!("{list:?} {read:?}")) }
        }
        Feature::Prompts => {
            let name = server.tool("hello");
            let list = client.ask("prompts/list", json!({}));
            let listed =
                list.answer["result"]["prompts"].as_array().is_some_and(|all| all.iter().any(|p| p["name"] == name));
            let got = client.ask("prompts/get", json!({ "name": name }));
            let text = got.answer["result"]["messages"][0]["content"]["text"] == format!("hello from {}", server.slug);
            if listed && text { Ok(()) } else { Err(format!("{list:?} {got:?}")) }
        }
        Feature::ListChange => {
            said(&client.ask("tools/call", call("change")), "changed")?;
            if client.hears("notifications/prompts/list_changed") {
                Ok(())
            } else {
                Err("nothing was announced".into())
            }
        }
        Feature::Cancel => {
            let (hanging, ended) = (counted(client, "hanging"), counted(client, "ended"));
            let cancel = client.begin(&server.tool("hang"));
            until("the call hangs", || counted(client, "hanging") > hanging);
            cancel();
            until("the server was told of the end", || counted(client, "ended") > ended);
            Ok(())
        }
    }
}

/// One cell: nothing if it came as expected, else what came. A client that failed is not used again.
fn cell(client: &mut Client, server: &Server, feature: Feature, expected: Expected) -> Option<String> {
    let tried = catch_unwind(AssertUnwindSafe(|| match expected {
        Expected::Works => outcome(client, server, feature).err(),
        // A server that may ask is answered that it cannot; one that must not ask says so itself.
        _ => {
            let exchange = client.ask("tools/call", json!({ "name": server.tool("ask"), "arguments": {} }));
            let refused = exchange.refusal().is_some_and(|code| code.starts_with('-'));
            (!refused).then(|| format!("not refused: {exchange:?}"))
        }
    }));
    tried.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Some(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
    })
}

/// All features of one client with one server, in marks.
fn row(editor: &Editor, revision: &'static str, server: &Server, wrong: &mut Vec<String>) -> String {
    let mut marks = String::new();
    let mut client = None;
    for feature in Feature::ALL {
        let expected = expected(revision, server.revision, server.transport, feature);
        marks.push(expected.mark());
        if expected == Expected::Absent {
            continue;
        }
        let mut fresh = client.take().unwrap_or_else(|| Client::new(editor, revision));
        match cell(&mut fresh, server, feature, expected) {
            None => client = Some(fresh),
            Some(came) => {
                let place = format!("{revision} client, {} over {}", server.revision, server.transport.shown());
                wrong.push(format!("{place}, {feature:?}: {came}"));
            }
        }
    }
    marks
}

fn table(rows: &[(Server, Vec<String>)]) -> String {
    let mut table = String::from("| Server | Transport |");
    REVISIONS.iter().for_each(|revision| write!(table, " {revision} client |").expect("written"));
    table.push_str("\n|---|---|---|---|---|---|---|\n");
    for (server, marks) in rows {
        write!(table, "| {} | {} |", server.revision, server.transport.shown()).expect("written");
        marks.iter().for_each(|marks| write!(table, " `{marks}` |").expect("written"));
        table.push('\n');
    }
    table
}

#[test]
fn every_client_works_with_every_server_or_is_refused_as_the_list_says() {
    let gateway = TestGateway::setup().set("limits.requests_per_minute", 0).start();
    let admin = gateway.admin();
    admin.workspace("eng");
    let servers = all_servers();
    for server in servers.iter().filter(|server| server.exists()) {
        let script = Arc::new(Script::new(server.revision, &server.slug));
        match server.transport {
            Transport::Streamable => admin.add("eng", &server.slug, &scripted::streamable(script)),
            Transport::HttpSse => admin.add("eng", &server.slug, &scripted::http_sse(script)),
            Transport::Stdio => {
                let own = format!("{}{OWN}", server.slug);
                let definition = scripted::stdio(server.revision, &own);
                gateway.define("eng", &own, &format!("{definition}isolation = \"session\"\n"));
                gateway.define("eng", &server.slug, &scripted::stdio(server.revision, &server.slug));
            }
        }
    }
    let editors: Vec<Editor> =
        REVISIONS.iter().map(|name| gateway.editor("eng", &admin.token("eng", name).raw)).collect();
    editors[0].tools();
    // One client after the other, so that none hears what another one changed.
    let mut wrong = Vec::new();
    let columns: Vec<Vec<String>> = REVISIONS
        .iter()
        .zip(&editors)
        .map(|(revision, editor)| servers.iter().map(|server| row(editor, revision, server, &mut wrong)).collect())
        .collect();
    let rows: Vec<(Server, Vec<String>)> = servers
        .iter()
        .enumerate()
        .map(|(at, server)| (server.clone(), columns.iter().map(|marks| marks[at].clone()).collect()))
        .collect();
    let table = table(&rows);
    println!("{table}");
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(DOCUMENTED.contains(&table), "src/docs/compatibility.md does not show this table");
}

//! `serve --demo`: everything in one command. A temporary data folder, an example MCP server, a workspace, a token with
//! one hour to live, and one real tool call through the gateway's own front door.

mod server;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::{
    actors::{
        Actors,
        token_authority::IssueToken,
        workspace_catalog::{AddServer, CreateWorkspace, Install},
    },
    domain::{
        clients::{self, Connection},
        role::Principal,
        scope::Scope,
        server::ServerSpec,
        slug::Slug,
    },
    error::{Error, ErrorCode, Result},
    store::accounts,
};

/// The workspace it makes.
const WORKSPACE: &str = "demo";
/// The life of its token.
const TOKEN_SECONDS: u64 = 3600;
/// How long its own call may take.
const CALL: Duration = Duration::from_secs(20);

/// What the demo brings.
pub struct Demo {
    folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Demo {
    /// Makes the folder and starts the example server.
    pub async fn prepare() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("aerostack-demo-").tempdir();
        let folder = folder.map_err(|cause| Error::internal("making a temporary folder", cause))?;
        let (address, server) = server::start()?;
        actix_rt::spawn(server);
        Ok(Demo { folder, address })
    }

    /// The temporary data folder; removed at the end.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().to_path_buf()
    }

    /// Where the example server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Sets the workspace up, calls a tool, and prints what to paste where.
pub async fn show(demo: &Demo, actors: &Actors, main: SocketAddr) -> Result<()> {
    let owner = actors.store.read(|db| async move { accounts::first(&db).await }).await?;
    let owner = owner.ok_or_else(|| Error::new(ErrorCode::Internal, "The demo has no owner"))?;
    let by = Principal::system(owner.id);
    let slug = Slug::parse(WORKSPACE)?;
    let workspace =
        actors.catalog.apply(CreateWorkspace { slug: slug.clone(), name: "Demo".into(), by: by.clone() }).await?;
    let spec = ServerSpec::for_url(&format!("http://{}/mcp", demo.address))?;
    let server = actors
        .catalog
        .apply(AddServer { slug: Slug::parse("demo-mcp")?, title: "Example tools".into(), spec, by: by.clone() })
        .await?;
    actors
        .catalog
        .apply(Install { workspace: workspace.id, server: server.id, prefix: None, skill: None, by: by.clone() })
        .await?;
    let token = actors
        .tokens
        .issue(IssueToken {
            scope: Scope::default(),
            workspace: workspace.id,
            name: "Demo".into(),
            expires_in_seconds: Some(TOKEN_SECONDS),
            member: None,
            requests_per_minute: None,
            by,
        })
        .await?;
    let raw = token.raw.expose_secret();
    let url = format!("{}/ws/{WORKSPACE}", actors.public_url.as_str().trim_end_matches('/'));
    let scheme = if actors.config.server.tls_cert.is_empty() { "http" } else { "https" };
    let said = if scheme == "http" {
        call(&format!("http://{main}/ws/{WORKSPACE}"), raw).await?
    } else {
        "(not called: TLS)".into()
    };
    let config =
        serde_json::to_string_pretty(&clients::mcp_json(&Connection { slug: WORKSPACE, url: &url, token: Some(raw) }))
            .unwrap_or_default();
    print(&format!(
        "\n  A call through the gateway: demo__add {{\"a\": 19, \"b\": 23}}  →  {said}\n\n  URL      {url}\n  Token    {raw}  (one hour)\n\n\
         Paste this into your editor's MCP configuration (Cursor: ~/.cursor/mcp.json):\n\n{config}\n\n\
         Claude Code:  claude mcp add --transport http demo {url} --header \"Authorization: Bearer {raw}\"\n\
         Command line: aerostack --profile demo workspace token list demo\n\n  Stop with Ctrl-C; the data folder is then removed.\n",
    ));
    Ok(())
}

/// One `tools/call`, as an editor of 2026-07-28 would make it.
async fn call(url: &str, token: &str) -> Result<String> {
    let failed = |what: &str| Error::new(ErrorCode::Internal, format!("The demo's own call failed: {what}"));
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {
            "name": "demo__add", "arguments": { "a": 19, "b": 23 },
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": { "name": "aerostack-demo", "version": env!("CARGO_PKG_VERSION") },
            },
        },
    });
    let client = awc::Client::builder().disable_redirects().timeout(CALL).finish();
    let request = client
        .post(url)
        .insert_header(("authorization", format!("Bearer {token}")))
        .insert_header(("accept", "application/json, text/event-stream"))
        .insert_header(("mcp-protocol-version", "2026-07-28"))
        .insert_header(("mcp-method", "tools/call"))
        .insert_header(("mcp-name", "demo__add"));
    let mut response = request.send_json(&body).await.map_err(|cause| failed(&cause.to_string()))?;
    let answer: Value = response.json().await.map_err(|cause| failed(&cause.to_string()))?;
    match answer.pointer("/result/content/0/text").and_then(Value::as_str) {
        Some(said) => Ok(said.to_owned()),
        None => {
            Err(failed(answer.pointer("/error/message").and_then(Value::as_str).unwrap_or("no text in the answer")))
        }
    }
}

fn print(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

//! `mcp export`: a definition in the MCP Registry's form, for `mcp import` elsewhere or for a registry.

use clap::Args;
use url::Url;

use super::{
    failure::{Failure, Outcome},
    output::Terminal,
    session::Session,
};
use crate::{
    admin::dto::{InjectionRule, Secret, Server, WhoAmI},
    domain::server_json::{self, Header, Remote},
};

/// What `mcp export` takes.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// MCP server
    slug: String,
    /// Its name in the registry's form [default: from the gateway's host and namespace]
    #[arg(long, value_name = "NAMESPACE/NAME")]
    name: Option<String>,
    /// Its version there
    #[arg(long, value_name = "VERSION", default_value = "1.0.0")]
    server_version: String,
}

/// Prints the document.
pub async fn run(session: &mut Session, terminal: &mut Terminal, args: ExportArgs) -> Outcome {
    let client = session.client()?;
    let server: Server = client.get(&["mcp-servers", &args.slug], vec![]).await?;
    let me: WhoAmI = client.get(&["whoami"], vec![]).await?;
    if server.kind != "http" {
        return Err(Failure::local(format!("{} is not reached over HTTP", server.slug))
            .with_hint("server.json names packages, not the command lines of programs"));
    }
    if server.url.contains("***") {
        return Err(Failure::local(format!("The URL of {} has parameters that are not shown", server.slug)));
    }
    let secrets: Vec<Secret> = client.list(&["mcp-servers", &args.slug, "secrets"], vec![]).await?;
    let host = Url::parse(&me.public_url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let remote = Remote {
        name: args.name.unwrap_or_else(|| server_json::name(&host, Some(&me.namespace), &server.slug)),
        description: format!("{} behind aerostack", server.title),
        title: server.title,
        version: args.server_version,
        url: server.url,
        variables: Vec::new(),
        sse: server.protocol == "sse",
        headers: secrets.iter().filter(|secret| secret.workspace.is_none()).map(header).collect(),
    };
    let text = serde_json::to_string_pretty(&remote.json());
    terminal.value(&text.map_err(|error| Failure::local(format!("cannot write JSON: {error}")))?)
}

fn header(secret: &Secret) -> Header {
    let (name, before) = match &secret.injection {
        InjectionRule::Bearer {} => ("Authorization", "Bearer "),
        InjectionRule::Header { header } | InjectionRule::Env { name: header } => (header.as_str(), ""),
    };
    Header {
        name: name.to_owned(),
        value: Some(format!("{before}{{{}}}", secret.name)),
        description: secret.name.clone(),
        optional: false,
    }
}

//! The text for each client. Shapes are the clients' own (their documents and what their `mcp add` writes); each
//! differs from the others in a detail that keeps the rest from working.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    Connection, Snippet, TOKEN_PLACEHOLDER, TOKEN_VARIABLE, component,
    ordered::{Json, list, object, quoted},
};

/// How environment variables are written by clients that read them.
mod variable {
    pub(super) const CURSOR: &str = "${env:AEROSTACK_TOKEN}";
    pub(super) const VSCODE: &str = "${input:aerostack_token}";
    pub(super) const BRACES: &str = "${AEROSTACK_TOKEN}";
    pub(super) const DOLLAR: &str = "$AEROSTACK_TOKEN";
    pub(super) const OPENCODE: &str = "{env:AEROSTACK_TOKEN}";
    pub(super) const CONTINUE: &str = "${{ secrets.AEROSTACK_TOKEN }}";
}

/// Every client, the most used first.
pub(super) fn all(to: &Connection<'_>) -> Vec<Snippet> {
    let mut all = vec![cursor(to), vscode(to)];
    all.extend(claude(to));
    all.extend(editors(to));
    all.extend(codex(to));
    all.extend(terminals(to));
    all.extend(yaml_files(to));
    all.extend(others(to));
    all.extend(programs(to));
    all
}

fn json(client: &'static str, title: &'static str, file: &'static str, text: Json) -> Snippet {
    Snippet { client, title, file: Some(file), language: "json", text: text.pretty(), install_url: None }
}

fn shell(client: &'static str, title: &'static str, text: String) -> Snippet {
    Snippet { client, title, file: None, language: "shell", text, install_url: None }
}

/// `{"Authorization": "Bearer …"}`.
fn headers(to: &Connection<'_>, placeholder: &str) -> Json {
    object([("Authorization", to.bearer(placeholder).into())])
}

/// `{"<section>": {"<slug>": <entry>}}`.
fn section(name: &str, to: &Connection<'_>, entry: Json) -> Json {
    object([(name, object([(to.slug, entry)]))])
}

/// `{"<key>": url, "headers": {…}}`.
fn plain(to: &Connection<'_>, key: &str, placeholder: &str) -> Json {
    object([(key, to.url.into()), ("headers", headers(to, placeholder))])
}

/// `{"type": "http", "url": …, "headers": {…}}`.
fn typed(to: &Connection<'_>, placeholder: &str) -> Json {
    object([("type", "http".into()), ("url", to.url.into()), ("headers", headers(to, placeholder))])
}

fn cursor(to: &Connection<'_>) -> Snippet {
    let entry = plain(to, "url", variable::CURSOR);
    let config = component(&BASE64_STANDARD.encode(entry.compact()));
    let link = format!("cursor://anysphere.cursor-deeplink/mcp/install?name={}&config={config}", component(to.slug));
    let text = section("mcpServers", to, entry);
    Snippet { install_url: Some(link), ..json("cursor", "Cursor", ".cursor/mcp.json", text) }
}

fn vscode(to: &Connection<'_>) -> Snippet {
    let input = || {
        object([
            ("type", "promptString".into()),
            ("id", "aerostack_token".into()),
            ("description", "Aerostack token".into()),
            ("password", true.into()),
        ])
    };
    let mut link = vec![
        ("name".to_owned(), to.slug.into()),
        ("type".to_owned(), "http".into()),
        ("url".to_owned(), to.url.into()),
        ("headers".to_owned(), headers(to, variable::VSCODE)),
    ];
    let mut file = Vec::new();
    if to.token.is_none() {
        link.push(("inputs".to_owned(), Json::List(vec![input()])));
        file.push(("inputs".to_owned(), Json::List(vec![input()])));
    }
    file.push(("servers".to_owned(), object([(to.slug, typed(to, variable::VSCODE))])));
    let link = format!("vscode:mcp/install?{}", component(&Json::Object(link).compact()));
    Snippet { install_url: Some(link), ..json("vscode", "VS Code", ".vscode/mcp.json", Json::Object(file)) }
}

fn claude(to: &Connection<'_>) -> [Snippet; 4] {
    // `workspace` is a name that Claude Code keeps for itself.
    let name = if to.slug == "workspace" { "aerostack-workspace" } else { to.slug };
    let named = Connection { slug: name, ..*to };
    let command = format!(
        "claude mcp add --transport http {name} {} --header \"Authorization: {}\"",
        to.url,
        to.bearer(variable::DOLLAR)
    );
    let mut args = vec!["-y", "mcp-remote", to.url, "--header", "Authorization:${AUTH}"];
    if to.url.starts_with("http://") {
        args.push("--allow-http");
    }
    // Without a token here, `connect` takes the one that was saved for this URL.
    let mut own = vec![("command".to_owned(), "aerostack".into()), ("args".to_owned(), list(&["connect", to.url]))];
    own.extend(to.token.map(|token| ("env".to_owned(), object([(TOKEN_VARIABLE, token.into())]))));
    // No space after the header's colon: arguments with spaces do not survive on Windows.
    let bridge = object([
        ("command", "npx".into()),
        ("args", list(&args)),
        ("env", object([("AUTH", to.bearer(TOKEN_PLACEHOLDER).into())])),
    ]);
    [
        shell("claude-code", "Claude Code", command),
        json(
            "claude-code-file",
            "Claude Code (file)",
            ".mcp.json",
            section("mcpServers", &named, typed(to, variable::BRACES)),
        ),
        json(
            "claude-desktop",
            "Claude Desktop",
            "claude_desktop_config.json",
            section("mcpServers", to, Json::Object(own)),
        ),
        json(
            "mcp-remote",
            "Claude Desktop (without aerostack)",
            "claude_desktop_config.json",
            section("mcpServers", to, bridge),
        ),
    ]
}

fn editors(to: &Connection<'_>) -> Vec<Snippet> {
    let cline = object([
        ("type", "streamableHttp".into()),
        ("url", to.url.into()),
        ("headers", headers(to, TOKEN_PLACEHOLDER)),
        ("disabled", false.into()),
    ]);
    let server_url = |placeholder| section("mcpServers", to, plain(to, "serverUrl", placeholder));
    let zed = section("context_servers", to, plain(to, "url", TOKEN_PLACEHOLDER));
    let jetbrains = section("mcpServers", to, plain(to, "url", TOKEN_PLACEHOLDER));
    vec![
        json("windsurf", "Windsurf", "~/.codeium/windsurf/mcp_config.json", server_url(variable::CURSOR)),
        json("antigravity", "Antigravity", "~/.gemini/config/mcp_config.json", server_url(TOKEN_PLACEHOLDER)),
        json("zed", "Zed", "~/.config/zed/settings.json", zed),
        json("jetbrains", "JetBrains AI Assistant", "Settings > Tools > AI Assistant > MCP", jetbrains),
        json("cline", "Cline", "cline_mcp_settings.json", section("mcpServers", to, cline)),
    ]
}

fn codex(to: &Connection<'_>) -> [Snippet; 2] {
    let mut text = format!("[mcp_servers.{}]\nurl = {}\n", to.slug, quoted(to.url));
    match to.token {
        None => text.push_str("bearer_token_env_var = \"AEROSTACK_TOKEN\"\n"),
        Some(_) => {
            let value = quoted(&to.bearer(TOKEN_PLACEHOLDER));
            text.push_str(&format!("http_headers = {{ Authorization = {value} }}\n"));
        }
    }
    let export = to.token.map(|token| format!("export AEROSTACK_TOKEN={token}\n")).unwrap_or_default();
    let command = format!("{export}codex mcp add {} --url {} --bearer-token-env-var AEROSTACK_TOKEN", to.slug, to.url);
    let file = Some("~/.codex/config.toml");
    [
        Snippet { client: "codex", title: "Codex", file, language: "toml", text, install_url: None },
        shell("codex-cli", "Codex (command)", command),
    ]
}

fn terminals(to: &Connection<'_>) -> Vec<Snippet> {
    let gemini = object([("url", to.url.into()), ("type", "http".into()), ("headers", headers(to, variable::DOLLAR))]);
    let opencode = object([
        ("type", "remote".into()),
        ("url", to.url.into()),
        ("oauth", false.into()),
        ("headers", headers(to, variable::OPENCODE)),
        ("enabled", true.into()),
    ]);
    let copilot = object([
        ("type", "http".into()),
        ("url", to.url.into()),
        ("headers", headers(to, variable::BRACES)),
        ("tools", list(&["*"])),
    ]);
    let qwen = section("mcpServers", to, plain(to, "httpUrl", variable::DOLLAR));
    vec![
        json("gemini", "Gemini CLI", "~/.gemini/settings.json", section("mcpServers", to, gemini)),
        json("qwen", "Qwen Code", "~/.qwen/settings.json", qwen),
        json("opencode", "opencode", "opencode.json", section("mcp", to, opencode)),
        json("copilot-cli", "Copilot CLI", "~/.copilot/mcp-config.json", section("mcpServers", to, copilot)),
    ]
}

fn yaml_files(to: &Connection<'_>) -> [Snippet; 2] {
    let (slug, url) = (quoted(to.slug), quoted(to.url));
    let continue_ = format!(
        "mcpServers:\n  - name: {slug}\n    type: streamable-http\n    url: {url}\n    requestOptions:\n      \
         headers:\n        Authorization: {}\n",
        quoted(&to.bearer(variable::CONTINUE))
    );
    let goose = format!(
        "extensions:\n  {slug}:\n    type: streamable_http\n    name: {slug}\n    uri: {url}\n    headers:\n      \
         Authorization: {}\n    enabled: true\n    timeout: 300\n",
        quoted(&to.bearer(TOKEN_PLACEHOLDER))
    );
    let yaml = |client, title, file, text| Snippet {
        client,
        title,
        file: Some(file),
        language: "yaml",
        text,
        install_url: None,
    };
    [
        yaml("continue", "Continue", "~/.continue/config.yaml", continue_),
        yaml("goose", "Goose", "~/.config/goose/config.yaml", goose),
    ]
}

fn others(to: &Connection<'_>) -> Vec<Snippet> {
    let entry = plain(to, "url", TOKEN_PLACEHOLDER);
    let config = component(&BASE64_STANDARD.encode(entry.compact()));
    let link = format!("lmstudio://add_mcp?name={}&config={config}", component(to.slug));
    let studio = json("lm-studio", "LM Studio", "mcp.json", section("mcpServers", to, entry));
    let kimi =
        object([("transport", "http".into()), ("url", to.url.into()), ("headers", headers(to, TOKEN_PLACEHOLDER))]);
    let kiro = section("mcpServers", to, plain(to, "url", TOKEN_PLACEHOLDER));
    let grok = format!(
        "[mcp_servers.{slug}]\nurl = {url}\n\n[mcp_servers.{slug}.headers]\nAuthorization = {value}\n",
        slug = to.slug,
        url = quoted(to.url),
        value = quoted(&to.bearer(TOKEN_PLACEHOLDER))
    );
    let file = Some(".grok/config.toml");
    vec![
        Snippet { install_url: Some(link), ..studio },
        json("kiro", "Kiro", ".kiro/settings/mcp.json", kiro),
        json("kimi", "Kimi", ".kimi-code/mcp.json", section("mcpServers", to, kimi)),
        Snippet { client: "grok", title: "Grok", file, language: "toml", text: grok, install_url: None },
        shell(
            "any",
            "Any of them, one line",
            format!(
                "npx add-mcp {} --name {} --header \"Authorization: {}\"",
                to.url,
                to.slug,
                to.bearer(variable::DOLLAR)
            ),
        ),
    ]
}

fn programs(to: &Connection<'_>) -> Vec<Snippet> {
    let program =
        |client, title, language, text| Snippet { client, title, file: None, language, text, install_url: None };
    let (slug, url) = (quoted(to.slug), quoted(to.url));
    let python = match to.token {
        Some(_) => quoted(&to.bearer(TOKEN_PLACEHOLDER)),
        None => "f\"Bearer {os.environ['AEROSTACK_TOKEN']}\"".to_owned(),
    };
    let typescript = match to.token {
        Some(_) => quoted(&to.bearer(TOKEN_PLACEHOLDER)),
        None => "`Bearer ${process.env.AEROSTACK_TOKEN}`".to_owned(),
    };
    let import = if to.token.is_none() { "import os\n" } else { "" };
    let fastmcp = format!(
        "import asyncio\n{import}from fastmcp import Client\n\nconfig = {{\"mcpServers\": {{{slug}: {{\"type\": \
         \"http\", \"url\": {url}, \"headers\": {{\"Authorization\": {python}}}}}}}}}\n\n\nasync def main():\n    \
         async with Client(config) as client:\n        print(await client.list_tools())\n\n\nasyncio.run(main())\n"
    );
    let langchain = format!(
        "{import}from langchain_mcp_adapters.client import MultiServerMCPClient\n\nclient = \
         MultiServerMCPClient({{{slug}: {{\"transport\": \"streamable_http\", \"url\": {url}, \"headers\": \
         {{\"Authorization\": {python}}}}}}})\n"
    );
    let sdk = format!(
        "import {{ Client }} from \"@modelcontextprotocol/sdk/client/index.js\";\nimport {{ \
         StreamableHTTPClientTransport }} from \"@modelcontextprotocol/sdk/client/streamableHttp.js\";\n\nconst \
         transport = new StreamableHTTPClientTransport(new URL({url}), {{\n  requestInit: {{ headers: {{ \
         Authorization: {typescript} }} }},\n}});\nconst client = new Client({{ name: \"my-client\", version: \
         \"1.0.0\" }});\nawait client.connect(transport);\n"
    );
    let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"curl","version":"1"}}}"#;
    let curl = format!(
        "curl -sS {} \\\n  -H \"Authorization: {}\" \\\n  -H \"Content-Type: application/json\" \\\n  -H \"Accept: \
         application/json, text/event-stream\" \\\n  -d '{initialize}'",
        to.url,
        to.bearer(variable::DOLLAR)
    );
    vec![
        program("python", "Python (fastmcp)", "python", fastmcp),
        program("langchain", "Python (LangChain)", "python", langchain),
        program("typescript", "TypeScript", "typescript", sdk),
        shell("curl", "curl", curl),
    ]
}

//! `server.json`, the MCP Registry's form of a server: read as the entry that a client's configuration would have for it.
//! Of several ways to reach it the first remote one, else the first package that a known program can run.

use serde_json::{Map, Value, json};

use super::printable;

/// The entry that a server.json (or a registry's answer about one server) stands for, with its name; none: it is no
/// server.json. `Err`: it is one, but cannot be taken over.
pub(super) fn entry(value: &Value) -> Option<(String, Result<Value, String>)> {
    let server = value.get("server").filter(|server| server.is_object()).unwrap_or(value);
    let name = server.get("name").and_then(Value::as_str)?;
    let list = |key: &str| server.get(key).and_then(Value::as_array);
    if list("remotes").is_none() && list("packages").is_none() {
        return None;
    }
    let short = name.rsplit('/').next().unwrap_or(name).to_owned();
    let remote = list("remotes").into_iter().flatten().find(|remote| remote.get("url").is_some());
    let package = list("packages").into_iter().flatten().find(|package| runner(package).is_some());
    let made = match (remote, package) {
        (Some(remote), _) => remote_entry(remote),
        (None, Some(package)) => package_entry(package),
        (None, None) => Err("names no remote and no package that npx, uvx or docker runs".to_owned()),
    };
    Some((short, made))
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn remote_entry(remote: &Value) -> Result<Value, String> {
    let url = text(remote, "url").unwrap_or_default();
    if url.contains('{') {
        return Err("its URL contains a variable: write it out, or add the server with `mcp add`".to_owned());
    }
    let mut headers = Map::new();
    for header in remote.get("headers").and_then(Value::as_array).into_iter().flatten() {
        let name = text(header, "name").ok_or("a header has no name")?;
        headers.insert(name.to_owned(), input(header, name).into());
    }
    let kind = if text(remote, "type") == Some("sse") { "sse" } else { "http" };
    Ok(json!({ "url": url, "type": kind, "headers": headers }))
}

/// The value of a header or variable, `{x}` in it as a variable of the environment; without a value a variable named
/// like it.
fn input(described: &Value, name: &str) -> String {
    let own = || format!("${{{}}}", variable_name(name));
    let Some(value) = text(described, "value").or_else(|| text(described, "default")) else { return own() };
    let Some((before, rest)) = value.split_once('{') else { return value.to_owned() };
    match rest.split_once('}') {
        Some((inner, after)) => format!("{before}${{{}}}{after}", variable_name(inner)),
        None => value.to_owned(),
    }
}

fn variable_name(name: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let all: String = name.chars().map(upper).collect();
    all.strip_prefix("X_").unwrap_or(&all).to_owned()
}

/// The words that run a package.
fn runner(package: &Value) -> Option<Vec<String>> {
    let stdio = package.pointer("/transport/type").and_then(Value::as_str).unwrap_or("stdio") == "stdio";
    let identifier = text(package, "identifier").filter(|_| stdio)?;
    let at = |mark: &str| match text(package, "version") {
        Some(version) => format!("{identifier}{mark}{version}"),
        None => identifier.to_owned(),
    };
    let (words, package): (&[&str], String) = match text(package, "registryType")? {
        "npm" => (&["npx", "-y"], at("@")),
        "pypi" => (&["uvx"], at("==")),
        "oci" => (&["docker", "run", "-i", "--rm"], identifier.to_owned()),
        _ => return None,
    };
    Some(words.iter().map(|word| (*word).to_owned()).chain([package]).collect())
}

fn package_entry(package: &Value) -> Result<Value, String> {
    let mut words = runner(package).unwrap_or_default();
    let mut env = Map::new();
    for variable in package.get("environmentVariables").and_then(Value::as_array).into_iter().flatten() {
        let name = text(variable, "name").ok_or("a variable has no name")?;
        let required = ["isRequired", "isSecret"].iter().any(|key| variable.get(key) == Some(&Value::Bool(true)));
        let given = text(variable, "value").or_else(|| text(variable, "default")).is_some();
        if required || given {
            env.insert(name.to_owned(), input(variable, name).into());
        }
    }
    if text(package, "registryType") == Some("oci") && !env.is_empty() {
        let at = words.len().saturating_sub(1);
        let passed = env.keys().flat_map(|name| ["-e".to_owned(), name.clone()]);
        words.splice(at..at, passed.collect::<Vec<_>>());
    }
    for argument in package.get("packageArguments").and_then(Value::as_array).into_iter().flatten() {
        let value = text(argument, "value").or_else(|| text(argument, "default"));
        let called = text(argument, "name").or_else(|| text(argument, "valueHint")).unwrap_or("an argument");
        match (value, argument.get("isRequired") == Some(&Value::Bool(true))) {
            (Some(value), _) if value.contains('{') => return Err(missing(called)),
            (Some(value), _) => {
                words.extend(text(argument, "name").map(str::to_owned));
                words.push(value.to_owned());
            }
            (None, true) => return Err(missing(called)),
            (None, false) => {}
        }
    }
    let (command, args) = words.split_first().ok_or("names no program")?;
    Ok(json!({ "command": command, "args": args, "env": env }))
}

fn missing(argument: &str) -> String {
    format!("needs {}: add the server with `mcp add NAME -- COMMAND`", printable(argument))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{mcp_json, server::Reach};

    #[test]
    fn a_remote_server_is_taken_over_with_its_headers_as_secrets() {
        let text = json!({ "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
            "name": "io.github.acme/weather", "description": "Weather", "version": "1.0.2",
            "remotes": [{ "type": "streamable-http", "url": "https://weather.example/mcp", "headers": [
                { "name": "Authorization", "value": "Bearer {weather_token}", "isSecret": true },
                { "name": "X-API-Key", "isSecret": true, "isRequired": true }] }],
            "packages": [{ "registryType": "npm", "identifier": "x", "transport": { "type": "stdio" } }] });
        let import = mcp_json::read(&text.to_string()).unwrap();
        let server = &import.servers[0];
        assert_eq!(&*server.slug, "weather");
        assert!(matches!(&server.reach, Reach::Http { url } if url.as_str() == "https://weather.example/mcp"));
        let names: Vec<&str> = server.secrets.iter().map(|secret| secret.name.as_str()).collect();
        assert_eq!(names, ["WEATHER_TOKEN", "API_KEY"]);
        // As the registry's API wraps it.
        let wrapped = json!({ "server": text, "_meta": {} });
        assert_eq!(mcp_json::read(&wrapped.to_string()).unwrap().servers.len(), 1);
    }

    #[test]
    fn a_package_becomes_the_program_that_runs_it() {
        let read = |package: Value| {
            let text = json!({ "name": "io.github.acme/files", "version": "1", "packages": [package] });
            let import = mcp_json::read(&text.to_string()).unwrap();
            match (import.servers.first().map(|server| &server.reach), import.skipped.first()) {
                (Some(Reach::Stdio(program)), None) => format!("{} {}", program.command, program.args.join(" ")),
                (None, Some(skipped)) => format!("skipped: {}", skipped.reason),
                other => panic!("{other:?}"),
            }
        };
        let npm = json!({ "registryType": "npm", "identifier": "@acme/files", "version": "1.0.2",
            "transport": { "type": "stdio" }, "packageArguments": [
                { "type": "named", "name": "--root", "value": "/srv" }, { "type": "positional", "valueHint": "more" }],
            "environmentVariables": [{ "name": "FILES_KEY", "isSecret": true }] });
        assert_eq!(read(npm), "npx -y @acme/files@1.0.2 --root /srv");
        let pypi = json!({ "registryType": "pypi", "identifier": "acme-files", "version": "2", "transport": { "type": "stdio" } });
        assert_eq!(read(pypi), "uvx acme-files==2");
        let oci = json!({ "registryType": "oci", "identifier": "acme/files:1", "transport": { "type": "stdio" },
            "environmentVariables": [{ "name": "FILES_KEY", "isRequired": true }] });
        assert_eq!(read(oci), "docker run -i --rm -e FILES_KEY acme/files:1");
        let needs = json!({ "registryType": "npm", "identifier": "x", "transport": { "type": "stdio" },
            "packageArguments": [{ "type": "positional", "valueHint": "folder", "isRequired": true }] });
        assert!(read(needs).starts_with("skipped: needs folder"));
        let nuget = json!({ "registryType": "nuget", "identifier": "x", "transport": { "type": "stdio" } });
        assert!(read(nuget).starts_with("skipped: names no remote"));
    }

    #[test]
    fn a_url_with_a_variable_is_named_as_such() {
        let text = json!({ "name": "a/b", "version": "1", "remotes": [{ "type": "sse", "url": "https://{tenant}.example/sse" }] });
        let import = mcp_json::read(&text.to_string()).unwrap();
        assert!(import.servers.is_empty() && import.skipped[0].reason.contains("variable"), "{:?}", import.skipped);
    }
}

//! What 2026-07-28 demands of a request beyond its envelope: arguments that a tool's schema wants in headers are there
//! and say the same, and whoever asks about tasks has declared that it knows them.

use actix_web::http::header::HeaderMap;
use serde_json::json;

use crate::{
    actors::grant::Grant,
    error::{Error, ErrorCode, Result},
    gateway::{Gateway, dispatch::Request},
    protocol::{
        meta,
        scan::{member, object_members},
    },
    upstream::mirror,
};

/// The extension of tasks.
const TASKS: &str = "io.modelcontextprotocol/tasks";

impl Gateway {
    /// Checks a request of 2026-07-28 whose envelope was checked.
    pub fn check_demands(&self, headers: &HeaderMap, grant: &Grant, message: &Request) -> Result<()> {
        match message.method.as_str() {
            "tools/call" => self.check_repeated(headers, grant, message),
            "tasks/get" | "tasks/update" | "tasks/cancel" if !knows_tasks(message) => {
                let what = format!("{} needs the client capability extensions[\"{TASKS}\"]", message.method);
                Err(Error::new(ErrorCode::MissingCapability, what)
                    .with_data(json!({ "requiredCapabilities": { "extensions": { TASKS: {} } } })))
            }
            _ => Ok(()),
        }
    }

    fn check_repeated(&self, headers: &HeaderMap, grant: &Grant, message: &Request) -> Result<()> {
        let Some(name) = message.env.param_str(&message.body, "name") else { return Ok(()) };
        let catalog = self.catalog.load();
        let route = catalog.workspace(&grant.slug).and_then(|view| view.routes.get(&*name));
        let Some(route) = route.filter(|route| !route.mirrored.is_empty()) else { return Ok(()) };
        let arguments = message.env.param(&message.body, "arguments").unwrap_or(b"{}");
        mirror::check(&route.mirrored, headers, arguments).map_err(|(header, why)| {
            Error::new(ErrorCode::HeaderMismatch, format!("Header mismatch: {header}: {why}"))
                .with_hint("list the tools again: the tool's inputSchema says which arguments travel in headers")
        })
    }
}

fn knows_tasks(message: &Request) -> bool {
    let (body, env) = (&*message.body, &message.env);
    let Some(declared) = member(&env.meta_members, body, meta::CLIENT_CAPABILITIES) else { return false };
    let Some(extensions) = member(&object_members(body, declared), body, "extensions") else { return false };
    member(&object_members(body, extensions), body, TASKS).is_some()
}

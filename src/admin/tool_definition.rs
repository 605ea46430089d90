//! One tool as its server describes it: what a model is told of it, what it takes and gives. Schemas stay as they were
//! written.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    actors::{
        Actors,
        catalog_items::{self, Said},
    },
    admin::{discovery, installations, installed_tools},
    domain::role::{Principal, Role},
    error::{Result, err},
    upstream::lists::Item,
};

/// A tool's description.
pub struct Definition {
    /// The server's own name of it.
    pub tool: String,
    /// Its name for people.
    pub title: Option<String>,
    /// What it does.
    pub description: Option<String>,
    /// What its server says of it.
    pub said: Said,
    /// The schema of what it takes.
    pub input: Option<Box<RawValue>>,
    /// The schema of what it gives.
    pub output: Option<Box<RawValue>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Described {
    title: Value,
    description: Value,
    input_schema: Option<Box<RawValue>>,
    output_schema: Option<Box<RawValue>>,
}

/// What an item of a server's list says.
pub fn of(item: &Item) -> Definition {
    let found: Described = serde_json::from_str(item.raw.get()).unwrap_or_default();
    let text = |value: Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    Definition {
        tool: item.name.to_string(),
        title: text(found.title),
        description: text(found.description),
        said: catalog_items::said(item),
        input: found.input_schema,
        output: found.output_schema,
    }
}

/// A tool of an installed server, offered or not, by its server's own name.
///
/// # Errors
/// `not_found` when the server does not list it.
pub async fn of_installed(
    actors: &Actors,
    by: &Principal,
    (slug, server): (&str, &str),
    tool: &str,
) -> Result<Definition> {
    by.require(Role::Viewer)?;
    let (workspace, record, _) = installations::find(actors, by, slug, server).await?;
    discovery::discover_for_list(actors, &workspace.slug).await;
    let one = installed_tools::installed(actors, &workspace.slug, record.id);
    let found =
        one.as_ref().and_then(|one| one.tools().find(|(item, _)| *item.name == *tool).map(|(item, _)| of(item)));
    found.ok_or_else(|| unlisted(server, tool))
}

/// What is said when a server does not list a tool.
pub fn unlisted(server: &str, tool: &str) -> crate::error::Error {
    err::not_found(format!("{server} lists no tool \"{}\"", crate::domain::near::shown(tool)))
        .with_hint("it may have been renamed or removed by its server")
}

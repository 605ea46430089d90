//! A tool as its server describes it, in a dialog over a list of tools. It is read when somebody wants to see it, and no
//! more of it is shown than a page can hold.

use crate::{admin::tool_definition::Definition, web::show::json};

/// What the dialog shows.
pub struct Viewed {
    /// How the list calls the tool.
    pub name: String,
    /// What its server says.
    pub one: Definition,
    /// Where the list is without the dialog.
    pub back: String,
}

impl Viewed {
    /// What a model is told.
    pub fn told(&self) -> Option<String> {
        self.one.description.as_deref().map(json::cut)
    }
    /// Its schemas: what each is of, and its text.
    pub fn schemas(&self) -> Vec<(&'static str, String)> {
        let both = [("input schema", &self.one.input), ("output schema", &self.one.output)];
        let there = both.into_iter().filter_map(|(title, schema)| Some((title, schema.as_deref()?)));
        there.map(|(title, schema)| (title, json::laid_out(schema.get()))).collect()
    }
    /// Whether its server says anything of it.
    pub fn says(&self) -> bool {
        let said = self.one.said;
        said.reads || said.destroys || said.open_world
    }
}

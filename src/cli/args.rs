//! Options that every command takes. Order of precedence everywhere: flag, then environment, then profile, then default.

use clap::{
    Args, ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};

use crate::domain::clients;

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
pub struct GlobalArgs {
    /// Output format; for a new token also a client: cursor, vscode, claude-code, …
    #[arg(
        short = 'o',
        long,
        visible_alias = "format",
        global = true,
        value_parser = output_parser(),
        value_name = "FORMAT",
        env = "AEROSTACK_OUTPUT",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub output: Option<Output>,
    /// Same as `--output json`
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Print only the essential value (an id, a slug, a token)
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub quiet: bool,
    /// Leave out the head line of tables and CSV
    #[arg(long, global = true, help_heading = "Global options")]
    pub no_headers: bool,
    /// Only these columns (their names in CSV) or members (in JSON and YAML)
    #[arg(long, global = true, value_name = "NAMES", value_delimiter = ',', help_heading = "Global options")]
    pub fields: Vec<String>,
    /// Exact times instead of `2 min ago`
    #[arg(long, global = true, help_heading = "Global options")]
    pub absolute: bool,
    /// Colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Colors::Auto, help_heading = "Global options")]
    pub color: Colors,
    /// Saved gateway to use
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "AEROSTACK_PROFILE",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub profile: Option<String>,
    /// URL of the gateway (not named --url: `mcp add --url` means another one)
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "AEROSTACK_URL",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub gateway: Option<String>,
    /// Namespace to act in, one you are a member of [default: the one chosen with `team use`, else your own]
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "AEROSTACK_NAMESPACE",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub namespace: Option<String>,
    /// Show what is asked of the server and how long it took
    #[arg(short, long, visible_alias = "debug", global = true, help_heading = "Global options")]
    pub verbose: bool,
}

/// What was asked for with `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// A format.
    As(Format),
    /// The configuration of a client that holds the new token.
    For(&'static str),
}

/// All formats, and the clients that a new token can be shown for (not listed in every help: there are many).
fn output_parser() -> impl TypedValueParser<Value = Output> {
    let formats = Format::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let clients = clients::names().into_iter().map(|name| PossibleValue::new(name).hide(true));
    PossibleValuesParser::new(formats.chain(clients)).try_map(|text| {
        let client = || clients::names().into_iter().find(|name| *name == text);
        match Format::from_str(&text, false) {
            Ok(format) => Ok(Output::As(format)),
            Err(unknown) => client().map(Output::For).ok_or(unknown),
        }
    })
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// The API's own objects
    Json,
    /// Comma separated values, for spreadsheets
    Csv,
    /// The API's own objects, as YAML
    Yaml,
    /// Only the raw token (`token create`)
    Token,
}

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Colors {
    /// On a terminal
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

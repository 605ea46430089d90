//! Options that every command takes. Order of precedence everywhere: flag, then environment, then profile, then default.

use clap::{Args, ValueEnum};

/// Options that every command takes.
#[derive(Debug, Clone, Default, Args)]
pub struct GlobalArgs {
    /// Output format
    #[arg(
        short = 'o',
        long,
        visible_alias = "format",
        global = true,
        value_enum,
        value_name = "FORMAT",
        env = "AEROSTACK_OUTPUT",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub output: Option<Format>,
    /// Same as `--output json`
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Print only the essential value (an id, a slug, a token)
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub quiet: bool,
    /// Leave out the head line of tables and CSV
    #[arg(long, global = true, help_heading = "Global options")]
    pub no_headers: bool,
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
    /// Show what is asked of the server and how long it took
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub verbose: bool,
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

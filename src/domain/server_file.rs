//! The form of a file in `servers.d`: a program that is an MCP server, as the person who runs the gateway wrote it down.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        program::{Isolation, Program},
        server::{ProtocolChoice, Reach, ServerSpec},
    },
    error::{Error, Result, err},
};

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerFile {
    /// The program: a path, or a name that is looked for in `PATH`.
    pub command: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The user name whose server it is; none: the first account's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Where it runs; none: in a folder of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Variables of the gateway's environment that it gets too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pass_env: Vec<String>,
    /// `shared` by all clients, or `session`: one for each client that can be asked something.
    #[serde(default, skip_serializing_if = "Isolation::is_shared")]
    pub isolation: Isolation,
    /// `auto`, `modern` or `legacy`.
    #[serde(default)]
    pub protocol: ProtocolChoice,
    /// Seconds for an answer to begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// Seconds for a whole call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_seconds: Option<u64>,
    /// Calls in flight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<usize>,
    /// Variables that are no secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// What a file defines.
#[derive(Debug, Clone, PartialEq)]
pub struct Defined {
    /// How the server is reached and talked to.
    pub spec: ServerSpec,
    /// Its name for people.
    pub title: Option<String>,
    /// Whose it is.
    pub namespace: Option<String>,
}

impl ServerFile {
    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|cause: toml::de::Error| err::validation(cause.message().to_owned()))
    }

    /// Writes a file.
    pub fn to_text(&self) -> Result<String> {
        toml::to_string(self).map_err(|cause| Error::internal("writing a definition", cause))
    }

    /// What it defines, if that can be started.
    pub fn into_defined(self) -> Result<Defined> {
        if self.protocol == ProtocolChoice::Sse {
            return Err(err::validation("A program speaks auto, modern or legacy, not sse"));
        }
        let program = Program {
            command: self.command,
            args: self.args,
            env: self.env,
            pass_env: self.pass_env,
            cwd: self.cwd,
            isolation: self.isolation,
            from_file: true,
        };
        program.check()?;
        let spec = ServerSpec {
            reach: Reach::Stdio(program),
            protocol: self.protocol,
            timeout_seconds: self.timeout_seconds.filter(|seconds| *seconds > 0),
            total_seconds: self.total_seconds.filter(|seconds| *seconds > 0),
            max_in_flight: self.max_in_flight.filter(|calls| *calls > 0),
            allow_http: false,
        };
        Ok(Defined { spec, title: self.title, namespace: self.namespace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_again_what_was_written_into_it() {
        let file = ServerFile {
            command: "npx".into(),
            args: vec!["-y".into(), "a \"quoted\" one".into()],
            env: [("DEBUG".to_owned(), "1".to_owned())].into(),
            isolation: Isolation::Session,
            protocol: ProtocolChoice::Legacy,
            timeout_seconds: Some(60),
            ..ServerFile::default()
        };
        assert_eq!(ServerFile::parse(&file.to_text().unwrap()).unwrap(), file);
        let defined = file.into_defined().unwrap();
        assert!(defined.spec.program().unwrap().from_file && defined.spec.kind() == "stdio");
    }

    #[test]
    fn a_file_with_a_mistake_defines_nothing() {
        for bad in
            ["", "command = 7", "command = \"x\"\nargz = []", "command = \"x\"\nprotocol = \"sse\"", "command = \"\""]
        {
            assert!(ServerFile::parse(bad).and_then(ServerFile::into_defined).is_err(), "{bad}");
        }
    }
}

//! One attempt to connect an MCP server, whatever it is reached by. Belongs to `UpstreamSession`, which decides when.

use std::{rc::Rc, sync::Arc, time::Duration};

use url::Url;

use crate::{
    actors::{
        injected::InjectedHeaders,
        upstream_link::{Line, Link, Live, Parts},
    },
    domain::{ids::WorkspaceId, program::Program, server::Reach, skill::Skill},
    protocol::{question, session_id::ClientCapabilities},
    upstream::{
        EventStream, ServerDef, UpstreamError,
        client::HttpClient,
        exchange::{Endpoint, Stage},
        negotiate::{self, Approach, Era, Negotiated},
        patience::Patience,
        relay::{Outlet, Relay},
        skill::{self, SkillPeer},
        stdio::{self, Launch, Started},
    },
};

/// What an attempt works with.
pub(super) struct Attempt {
    pub(super) parts: Arc<Parts>,
    pub(super) def: Arc<ServerDef>,
    pub(super) scope: Option<WorkspaceId>,
    pub(super) client: HttpClient,
    /// Told what a program said before it failed.
    pub(super) link: Arc<Link>,
    /// What the client declared whose session it is; none: everybody's.
    pub(super) declared: Option<ClientCapabilities>,
    /// What the server was found to speak, if that is still believed.
    pub(super) remembered: Option<Era>,
    /// How long to wait before, or why not to try at all.
    pub(super) pause: Result<Duration, UpstreamError>,
    /// How long it may take once it has begun.
    pub(super) limit: Duration,
}

/// A connection, and the stream of its answers if they all come on one.
pub(super) type Connection = (Rc<Line>, Option<EventStream>);

impl Attempt {
    /// Connects.
    pub(super) async fn connect(self) -> Result<Connection, UpstreamError> {
        let pause = self.pause.clone()?;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let injected = self.parts.credentials_for(&self.def, self.scope).await?;
        match &self.def.spec.reach {
            Reach::Http { url } => self.dial(url, &injected).await,
            Reach::Stdio(program) => self.start(program, &injected).await,
            Reach::Skill { skill } => self.know(skill, &injected),
        }
    }

    /// There is nothing to connect to: what a skill offers is known, and its worker is called when it is needed.
    fn know(&self, skill: &Skill, injected: &InjectedHeaders) -> Result<Connection, UpstreamError> {
        let live = Arc::new(Live { connected: Arc::new(skill::connected(skill)), version: injected.version });
        let skill = SkillPeer::of(&self.client, &self.def, &injected.headers)?;
        let scrubber = injected.scrubber.clone();
        Ok((Rc::new(Line { live, endpoint: None, relay: None, child: None, skill, scrubber }), None))
    }

    async fn dial(&self, url: &Url, injected: &InjectedHeaders) -> Result<Connection, UpstreamError> {
        let approach = Approach {
            client: &self.client,
            url,
            injected: &injected.headers,
            choice: self.def.spec.protocol,
            capabilities: &question::capabilities_json(self.declared.unwrap_or_default()),
            remembered: self.remembered,
            patience: Patience::within(self.limit),
        };
        let Negotiated { connected, stream } = negotiate::connect(&approach).await?;
        let endpoint = Rc::new(Endpoint::new(&self.client, url, Stage::Known(&connected.wire), &injected.headers)?);
        let scrubber = injected.scrubber.clone();
        let live = Arc::new(Live { connected: Arc::new(connected.scrubbed(&scrubber)), version: injected.version });
        let relay = stream.is_some().then(|| Relay::new(Outlet::Post(endpoint.clone())));
        Ok((Rc::new(Line { live, endpoint: Some(endpoint), relay, child: None, skill: None, scrubber }), stream))
    }

    async fn start(&self, program: &Program, injected: &InjectedHeaders) -> Result<Connection, UpstreamError> {
        let (def, host) = (&self.def, &self.parts.host);
        host.allow(&def.slug, &def.spec, program)?;
        let folder = host.folder(def.id, self.declared.is_some());
        let launch = Launch {
            program,
            secrets: &injected.variables,
            config: &host.config,
            stream: self.client.limits().stream,
            folder: folder.map_err(|cause| UpstreamError::Unavailable(format!("it has no folder: {cause}")))?,
            hide: &host.hidden(),
        };
        let approach = stdio::Approach {
            launch: &launch,
            scrubber: &injected.scrubber,
            choice: def.spec.protocol,
            capabilities: &question::capabilities_json(self.declared.unwrap_or_default()),
            remembered: self.remembered,
            patience: Patience::within(self.limit),
        };
        let started = stdio::connect(&approach).await;
        let Started { connected, stream, child } = started.map_err(|(failure, last_words)| {
            self.link.said(last_words);
            failure
        })?;
        let scrubber = injected.scrubber.clone();
        let live = Arc::new(Live { connected: Arc::new(connected.scrubbed(&scrubber)), version: injected.version });
        let relay = Relay::new(Outlet::Child(child.inlet()));
        let line = Line { live, endpoint: None, relay: Some(relay), child: Some(child), skill: None, scrubber };
        Ok((Rc::new(line), Some(stream)))
    }
}

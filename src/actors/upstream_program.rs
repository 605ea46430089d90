//! What is special about an `UpstreamSession` whose server is a program: it is started when somebody needs it, ended when
//! nobody did for a while (its tools stay listed), and started again, with pauses, when it ended by itself.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use actix::Context;

use crate::{
    actors::{
        upstream_link::{Line, Phase},
        upstream_session::UpstreamSession,
    },
    domain::clock,
    upstream::{UpstreamError, stdio::starts::Starts},
};

/// A longer pause than this is not waited for by the call that needs the program: it is told when to come back.
pub(super) const PATIENT: Duration = Duration::from_secs(5);

/// A program's life, as its session keeps account of it.
pub(super) struct Life {
    starts: Starts,
    /// When it was last started.
    begun: Instant,
    /// When it was last needed.
    used: Instant,
    /// The present attempt started it.
    tried: bool,
}

impl Default for Life {
    fn default() -> Self {
        let now = clock::instant();
        Life { starts: Starts::default(), begun: now, used: now, tried: false }
    }
}

impl Life {
    /// Somebody needs the program.
    pub(super) fn touch(&mut self) {
        self.used = clock::instant();
    }
}

impl UpstreamSession {
    /// How long to wait before the server is connected to, or why that is not tried.
    pub(super) fn pause_before_start(&mut self) -> Result<Duration, UpstreamError> {
        let now = clock::instant();
        self.life.begun = now;
        self.life.touch();
        let pause = self.life.starts.pause(now, &self.parts.host.config);
        self.life.tried = pause.is_ok_and(|pause| pause <= PATIENT);
        let left = match pause {
            Ok(pause) if self.life.tried => return Ok(pause),
            Ok(pause) | Err(pause) => pause.as_secs().max(1),
        };
        Err(UpstreamError::Unavailable(format!("its process keeps ending; it can be started again in {left} s")))
    }

    /// Counts a start that came to nothing, if it was a program's.
    pub(super) fn note_failed_start(&mut self, failure: &UpstreamError) {
        let never_started = matches!(failure, UpstreamError::NotUsable(_) | UpstreamError::Refused(_));
        if self.def.spec.program().is_some() && self.life.tried && !never_started {
            self.note_end();
        }
    }

    fn note_end(&mut self) {
        let lived = self.life.begun.elapsed();
        self.life.starts.ended(clock::instant(), lived, &self.parts.host.config);
    }

    /// The program has ended by itself.
    pub(super) fn lose_program(&mut self, lost: &Rc<Line>, ctx: &mut Context<Self>) {
        self.link.withdraw(&lost.live);
        self.link.set_phase(Phase::Failed);
        self.note_end();
        if self.line.as_ref().is_some_and(|line| Rc::ptr_eq(line, lost)) {
            self.close_line(ctx, true);
        }
        let Some(child) = lost.child.clone() else { return };
        let (link, slug) = (self.link.clone(), self.def.slug.clone());
        let stop = Duration::from_secs(self.parts.host.config.stop_seconds + 1);
        actix_rt::spawn(async move {
            let how = child.ended(stop).await.unwrap_or_else(|| "it closed its output".into());
            let last_words = child.last_words();
            tracing::info!(server = %slug, how, last_words = last_words.last(), "a program ended");
            link.said(last_words);
            link.failed(&UpstreamError::Unavailable(how));
        });
    }

    /// Ends a program that nobody has needed for a while.
    pub(super) fn end_if_idle(&mut self, ctx: &mut Context<Self>) {
        let idle = Duration::from_secs(self.parts.host.config.idle_seconds.max(1));
        let busy = |line: &Rc<Line>| line.relay.as_ref().is_some_and(|relay| relay.is_busy());
        let running = self.line.as_ref().is_some_and(|line| line.child.is_some() && !busy(line));
        let watched = !self.link.ears.wanted().borrow().uris.is_empty();
        if running && !watched && self.listing.is_none() && self.life.used.elapsed() >= idle {
            tracing::debug!(server = %self.def.slug, "a program is ended: nobody has needed it for a while");
            self.close_line(ctx, true);
            self.link.set_phase(Phase::Idle);
        }
    }

    /// Whether the tool list may be fetched without anybody having asked. A program is asked when it was started, and
    /// says itself when its tools change; it is not kept running, or started, for the sake of its list.
    pub(super) fn may_list_unasked(&self, changed_secrets: bool) -> bool {
        let unknown = self.link.status.load().tools.is_none();
        self.def.spec.program().is_none() || unknown || (changed_secrets && self.line.is_some())
    }
}

/// Ends a program when no call uses it any more, at the latest after `longest`.
pub(super) async fn end_when_quiet(line: Rc<Line>, longest: Duration) {
    let latest = clock::instant() + longest;
    let busy = || line.relay.as_ref().is_some_and(|relay| relay.is_busy());
    while busy() && clock::instant() < latest {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    if let Some(child) = &line.child {
        child.close();
    }
}

//! stub
use crate::{
    actors::supervisor::Runtime,
    config::AnalyticsConfig,
    store::{Store, analytics::ToolCallEvent},
};
use std::{sync::Arc, time::Duration};
/// stub
#[derive(Clone)]
pub struct Analytics;
impl Analytics {
    /// stub
    pub fn start(
        _r: &Runtime,
        _s: Store,
        _c: &AnalyticsConfig,
        _w: Arc<dyn Fn(&[ToolCallEvent]) + Send + Sync>,
    ) -> Self {
        Analytics
    }
    /// stub
    pub fn record(&self, _e: ToolCallEvent) {}
    /// stub
    pub async fn drain(&self, _d: Duration) {}
}

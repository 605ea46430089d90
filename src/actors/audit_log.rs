//! stub
use crate::{actors::supervisor::Runtime, store::Store};
use std::time::Duration;
/// stub
#[derive(Clone)]
pub struct Audit;
impl Audit {
    /// stub
    pub fn start(_r: &Runtime, _s: Store) -> Self {
        Audit
    }
    /// stub
    pub async fn drain(&self, _d: Duration) {}
}

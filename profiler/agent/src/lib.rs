//! What a Rust service links to be watched by dyno.
//!
//! Owns the instruments inside the target: the heap by age ([`Alloc`]), pauses and the async loop, pools,
//! databases, caches, brokers, called services, handlers, the process, and a CPU profile on demand. It reads them ten
//! times a second on threads
//! of its own and serves them as [`timeline::probe`] defines. What the figures mean is the profiler's
//! business; the agent draws no conclusion.
//!
//! ```
//! # fn main() -> Result<(), dynamometer_agent::AgentError> {
//! let agent = dynamometer_agent::Agent::builder("shop").instance("shop-0").token("from the environment".replace(' ', "-")).start()?;
//! let pool = agent.pool("db", 8);
//! let held = pool.begin_wait().acquired();
//! drop(held);
//! println!("probe on {}", agent.addr());
//! # Ok(())
//! # }
//! ```

mod agent;
mod ages;
mod alloc;
mod broker;
mod builder;
mod cache;
mod counts;
mod database;
mod downstream;
mod draft;
mod endpoint;
mod gauge;
mod heap;
mod hiccup;
mod http;
mod listeners;
mod loop_probe;
mod offload;
mod pauses;
mod pool;
mod process;
mod profile;
mod refresh;
mod registry;
mod run_queue;
mod sampling;
mod sections;
mod server;
mod stretch;
mod tally;
mod threads;
mod ticker;
mod top;
mod traffic;

pub use agent::Agent;
pub use alloc::Alloc;
pub use broker::BrokerMeter;
pub use builder::{AgentError, Builder};
pub use cache::{CacheMeter, Loading};
pub use counts::Count;
pub use database::{DatabaseMeter, Sent, ServerFigures};
pub use downstream::{Calling, DownstreamMeter};
pub use gauge::Gauge;
pub use listeners::listen_queue;
pub use pool::{Held, PoolMeter, Waiting};
pub use sections::StopTheWorld;
pub use server::InFlight;
pub use traffic::Visit;

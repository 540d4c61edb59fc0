//! Keeping one worker alive: from start to death and again, and relieving it by a new process without a gap.
//!
//! Owns the order of the lives of one name. What all of them have in common lies with [`crew`](super::crew).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use timeline::MonoNs;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::START_PATIENCE;
use super::crew::{Crew, Process};
use super::process::Heard;
use crate::http::told;
use crate::say::say;
use crate::wire::Order;

/// A worker that dies again at once is started after ever longer pauses, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// One that has lived this long was well; its next start is not delayed.
const LIVED: Duration = Duration::from_secs(5);
/// Orders on their way to a worker. A stopped worker reads none; then new ones are refused.
const ORDERS: usize = 16;

/// Somebody who waits until a worker is relieved, or hears why it is not.
pub type Relief = oneshot::Sender<Result<(), String>>;

/// The process that has the name now.
struct Current {
    generation: u32,
    began: MonoNs,
    retire: watch::Sender<bool>,
}

/// Keeps one worker.
pub struct Keeper {
    crew: Arc<Crew>,
    index: usize,
    stop: watch::Receiver<bool>,
    /// Processes under this name, relieved ones that finish what they do among them.
    lives: JoinSet<(u32, String)>,
    reliefs: mpsc::Receiver<Relief>,
    /// Of the next process.
    generation: u32,
}

impl Keeper {
    /// Of the worker of this number. `reliefs` says when it is to be relieved.
    pub fn new(
        crew: Arc<Crew>,
        index: usize,
        reliefs: mpsc::Receiver<Relief>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self { crew, index, stop, lives: JoinSet::new(), reliefs, generation: 0 }
    }

    /// Keeps it until `stop` becomes true, then ends it. Dropping the future kills it.
    pub async fn keep(mut self) {
        let mut pause = FIRST_PAUSE;
        let mut current = self.begin(false);
        loop {
            tokio::select! {
                Some(ended) = self.lives.join_next() => {
                    let Ok((generation, died)) = ended else { continue };
                    if generation != current.generation {
                        self.crew.left(self.index, generation);
                        continue;
                    }
                    self.crew.buried(self.index, generation, &died);
                    if *self.stop.borrow() {
                        break;
                    }
                    say(format_args!("backend: {} {died}; it is started again", self.crew.name(self.index)));
                    let lived = MonoNs::now().since(current.began);
                    pause = if lived >= LIVED { FIRST_PAUSE } else { (pause * 2).min(LAST_PAUSE) };
                    let mut stop = self.stop.clone();
                    if tokio::time::timeout(pause, told(&mut stop, true)).await.is_ok() {
                        break;
                    }
                    current = self.begin(false);
                }
                Some(answer) = self.reliefs.recv() => {
                    let (next, done) = self.relieve(current).await;
                    current = next;
                    let _ = answer.send(done);
                }
            }
        }
        while self.lives.join_next().await.is_some() {}
    }

    fn begin(&mut self, relieves: bool) -> Current {
        let generation = self.generation;
        self.generation += 1;
        let (retire, retired) = watch::channel(false);
        let life = one_life(self.crew.clone(), self.index, generation, relieves, self.stop.clone(), retired);
        self.lives.spawn(async move { (generation, life.await) });
        Current { generation, began: MonoNs::now(), retire }
    }

    /// Starts the next one; when that serves, the present one finishes what it does and ends. When it does not come
    /// up, everything stays as it was.
    async fn relieve(&mut self, current: Current) -> (Current, Result<(), String>) {
        let next = self.begin(true);
        let mut life = self.crew.life(self.index);
        let mut patience = pin!(tokio::time::sleep(START_PATIENCE));
        let mut died_meanwhile = false;
        let why = loop {
            tokio::select! {
                // One that is ready when its time is over has the name already.
                biased;
                _ = life.wait_for(|l| l.generation == next.generation && l.probe().is_some()) => {
                    let _ = current.retire.send(true);
                    return (next, Ok(()));
                }
                Some(ended) = self.lives.join_next() => {
                    let Ok((generation, died)) = ended else { continue };
                    if generation == next.generation {
                        break format!("the new process {died}");
                    }
                    if generation == current.generation {
                        self.crew.buried(self.index, generation, &died);
                        died_meanwhile = true;
                    }
                    self.crew.left(self.index, generation);
                }
                () = &mut patience => {
                    // It is told to end, and killed when the backend ends if it does not listen. Should it become ready
                    // now, it does not get the name.
                    let _ = next.retire.send(true);
                    break "the new process said nothing for too long".to_owned();
                }
            }
        };
        (if died_meanwhile { self.begin(false) } else { current }, Err(why))
    }
}

/// From start to death; gives what it died of, as the end of a sentence. One that `relieves` another gets the name
/// only when it serves.
async fn one_life(
    crew: Arc<Crew>,
    index: usize,
    generation: u32,
    relieves: bool,
    mut stop: watch::Receiver<bool>,
    mut retired: watch::Receiver<bool>,
) -> String {
    let mut running = match crew.start(index) {
        Ok(running) => running,
        Err(e) => return format!("cannot be started: {e}"),
    };
    let (orders, mut ordered) = mpsc::channel(ORDERS);
    let mut process = Some(Process::new(running.pid(), orders));
    let mut first = Vec::new();
    if !relieves && let Some(process) = process.take() {
        first = crew.take_over(index, generation, process, None);
    }
    running.tell(&Order::Settings(Box::new(crew.settings(index, generation)))).await;
    for order in first {
        running.tell(&order).await;
    }
    let (mut ending, mut leaving) = (false, false);
    loop {
        tokio::select! {
            heard = running.hear() => match heard {
                Heard::Died(why) => return why,
                Heard::Line(text) => {
                    let too_late = *retired.borrow();
                    if let Some(probe) = crew.hear(index, generation, &text)
                        && !too_late
                        && let Some(process) = process.take()
                    {
                        for order in crew.take_over(index, generation, process, Some(probe)) {
                            running.tell(&order).await;
                        }
                    }
                }
            },
            Some(order) = ordered.recv() => running.tell(&order).await,
            () = told(&mut retired, true), if !leaving => {
                leaving = true;
                running.resume();
                // What it was ordered before comes before its end; its successor has got all of it.
                while let Ok(order) = ordered.try_recv() {
                    running.tell(&order).await;
                }
                running.tell(&Order::Retire).await;
            }
            () = told(&mut stop, true), if !ending => {
                ending = true;
                running.resume();
                running.tell(&Order::Drain).await;
            }
        }
    }
}

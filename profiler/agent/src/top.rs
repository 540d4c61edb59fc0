//! The few that matter most out of many, and how many there were besides.
//!
//! Owns [`Top`] alone. Memory is bounded by `most`; what is not kept is counted.

/// The `most` weightiest of what was offered.
#[derive(Debug)]
pub(crate) struct Top<T> {
    most: usize,
    kept: Vec<(f64, T)>,
    others: u64,
}

impl<T> Top<T> {
    /// Keeps at most `most`, at least one.
    pub(crate) const fn new(most: usize) -> Self {
        Self { most, kept: Vec::new(), others: 0 }
    }

    /// Keeps what `make` gives if it belongs to the weightiest so far; otherwise counts it, and `make` is not called.
    pub(crate) fn offer(&mut self, weight: f64, make: impl FnOnce() -> T) {
        if self.kept.len() < self.most {
            self.kept.push((weight, make()));
            return;
        }
        self.others += 1;
        let least = self.kept.iter_mut().min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some(least) = least.filter(|l| l.0 < weight) {
            *least = (weight, make());
        }
    }

    /// Counts one that cannot even be weighed.
    pub(crate) const fn count(&mut self, others: u64) {
        self.others += others;
    }

    /// What was kept, weightiest first, and how many others there were; empties it.
    pub(crate) fn take(&mut self) -> (Vec<T>, u64) {
        self.kept.sort_by(|a, b| b.0.total_cmp(&a.0));
        let kept = self.kept.drain(..).map(|(_, t)| t).collect();
        (kept, std::mem::take(&mut self.others))
    }
}

#[cfg(test)]
mod tests {
    use super::Top;

    #[test]
    fn the_weightiest_stay_and_the_rest_is_counted() {
        let mut top = Top::new(2);
        for w in [3.0, 1.0, 5.0, 4.0] {
            top.offer(w, || w);
        }
        assert_eq!(top.take(), (vec![5.0, 4.0], 2));
        assert_eq!(top.take(), (vec![], 0));
    }
}

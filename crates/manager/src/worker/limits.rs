//! When a worker is worn out: calls, age, idleness, memory, processor time.

use super::{Phase, Report, Stage, Worker};
use crate::fleet::Number;
use crate::memory::Memory;
use crate::process::cpu_time;
use crate::program::Limits;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// How often memory and processor time of a worker are looked at, besides memory after each call.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Memory at which a replacement is started, as a share of `memory_max`.
const MEMORY_TIRED: f64 = 0.8;

/// Memory at which a worker gets no more calls: what is left is for the call that is running.
const MEMORY_SPENT: f64 = 0.95;

/// How much of its limit of calls or age a worker may be spared, so that workers that started
/// together don't end together.
const JITTER: f64 = 0.1;

/// Bytes in what people count memory in.
const MIB: f64 = 1_048_576.0;

/// One worker's own limits, and what it takes to compare with them.
#[derive(Debug)]
pub(super) struct Worn {
    limits: Limits,
    max_calls: Option<u64>,
    age_until: Option<Instant>,
    started: Instant,
    pid: u32,
    memory: Option<Memory>,
    reported: bool,
}

impl Worn {
    pub fn new(limits: &Limits, number: Number, pid: u32, started: Instant) -> Self {
        let mut worn = Self {
            limits: Limits::default(),
            max_calls: None,
            age_until: None,
            started,
            pid,
            memory: None,
            reported: false,
        };
        worn.adjust(limits, number);
        worn
    }

    pub fn adjust(&mut self, limits: &Limits, number: Number) {
        // The golden ratio's fractions spread any run of numbers evenly.
        let spared = JITTER * (f64::from(number) * 0.618_033_988_749).fract();
        self.limits = limits.clone();
        self.max_calls = limits.max_calls.map(|max| {
            let spared_calls = (max as f64 * spared) as u64;
            (max - spared_calls).max(1)
        });
        self.age_until = limits
            .max_age
            .map(|max| self.started + max.mul_f64(1.0 - spared));
        if limits.memory_max.is_some() && self.memory.is_none() {
            self.memory = Memory::of(self.pid);
        }
    }

    /// When to look again though nothing happened.
    pub fn next_look(&self, now: Instant) -> Instant {
        let mut next = now + Duration::from_secs(3600);
        if self.limits.memory_max.is_some() || self.limits.cpu_max.is_some() {
            next = now + LOOK_EVERY;
        }
        let idle = self
            .limits
            .max_idle
            .map(|max| now + max.min(Duration::from_secs(60)));
        let age = self.age_until.map(|until| until.max(now + LOOK_EVERY));
        [idle, age].into_iter().flatten().fold(next, Instant::min)
    }

    fn memory_share(&self) -> Option<f64> {
        let max = self.limits.memory_max?;
        let used = self.memory.as_ref()?.bytes()?;
        Some(used as f64 / max as f64)
    }

    fn find_processes(&mut self) {
        if self.limits.memory_max.is_some()
            && let Some(memory) = &mut self.memory
        {
            memory.find_others();
        }
    }
}

impl Worker {
    /// Before a slot is offered again.
    pub(super) fn look_at_limits_after_call(&mut self) {
        let calls = self.shown.calls.load(Ordering::Relaxed);
        if self.worn.max_calls.is_some_and(|max| calls >= max) {
            self.tire("max_calls");
        }
        match self.worn.memory_share() {
            Some(share) if share >= MEMORY_SPENT => self.leave("memory_max"),
            Some(share) if share >= MEMORY_TIRED => self.tire("memory_max"),
            _ => {}
        }
    }

    /// Whether calls run or not.
    pub(super) fn check_limits(&mut self, now: Instant) {
        if self.worn.age_until.is_some_and(|until| now >= until) {
            self.tire("max_age");
        }
        let limits = &self.worn.limits;
        let idle = self.running.is_empty() && self.phase == Phase::Live;
        if idle
            && limits
                .max_idle
                .is_some_and(|max| now >= self.busy_until + max)
        {
            self.tire("max_idle");
        }
        if let Some(max) = self.worn.limits.cpu_max
            && cpu_time(self.process.pid()).is_some_and(|used| used >= max)
        {
            self.tire("cpu_max");
        }
        self.worn.find_processes();
        match self.worn.memory_share() {
            Some(share) if share > 1.0 => {
                let max = self.worn.limits.memory_max.unwrap_or_default() as f64 / MIB;
                let used = share * max;
                let problem =
                    format!("was killed at {used:.0} MiB, its memory_max is {max:.0} MiB");
                self.over_memory = true;
                self.fail(problem, self.running.is_empty());
                self.end_by(Stage::Killed);
            }
            Some(share) if share >= MEMORY_SPENT && self.running.is_empty() => {
                self.leave("memory_max");
                self.end_if_done();
            }
            Some(share) if share >= MEMORY_TIRED => self.tire("memory_max"),
            _ => {}
        }
    }

    fn tire(&mut self, limit: &'static str) {
        if !std::mem::replace(&mut self.worn.reported, true) {
            self.report(Report::Tired(limit));
        }
    }
}

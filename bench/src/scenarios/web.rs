//! A web application in one file: how fast is it behind each server, and what do its users see when
//! its processes die?

use std::time::Duration;

use anyhow::Result;

use super::crash::while_killing;
use super::{Contender, Plan, Setting, figure, interleave};
use crate::arrivals::{Arrival, poisson};
use crate::http::Request;
use crate::load::{self, Until};
use crate::peers::{Peer, Setup};
use crate::processes;
use crate::report::{Table, column};
use crate::server::Server;
use crate::tally::{Outcome, Tally};

const WORKERS: usize = 4;
const CONNECTIONS: u64 = 64;

/// Threads in each process of the servers that have them: what gunicorn's documentation shows.
const THREADS: usize = 4;

const CALLS_PER_SECOND: f64 = 200.0;

/// The share of calls that place an order; the others look at one.
const POSTS: f64 = 0.2;

/// How long the application waits for its database while its processes die. Without it a call is
/// so short that hardly any process dies with one.
const DATABASE_MS: u64 = 8;

/// Longer than any restart takes, so that only what the server loses counts.
const PATIENCE: Duration = Duration::from_secs(5);

// Which request a call of the open loop sends.
const ORDER: usize = 0;
const POST: usize = 1;
const PAGE: usize = 2;

pub fn run(plan: &Plan) -> Result<Table> {
    let length = plan.length(10);
    let contenders = contenders(plan);
    let rows = interleave("web", &contenders, plan.runs(5), |setting, run| {
        setting.measure(plan, |server| {
            let mut figures = fast(server, length)?;
            figures.extend(while_dying(server, length, plan.seed(run))?);
            Ok(figures)
        })
    });
    Ok(Table {
        title: format!(
            "web: a Flask application in {WORKERS} processes: {CONNECTIONS} connections, then \
             {CALLS_PER_SECOND} calls/s while one process is killed every second"
        ),
        notes: vec![format!(
            "{} s each a run. Of five calls two get JSON, two a page from a template, and one posts \
             a form. While processes die, each call waits {DATABASE_MS} ms for a database, and GETs \
             may be made again, but not POSTs. gunicorn's sync workers take a new connection for \
             each call. With threads a process has {THREADS} calls at a time, else one.",
            length.as_secs()
        )],
        columns: vec![
            column("calls/s", 0),
            column("p50 ms", 1),
            column("p99 ms", 1),
            column("server CPU s per 1,000 calls", 3),
            column("lost", 0),
            column("killed", 0),
            column("GETs", 0),
            column("GETs lost", 0),
            column("POSTs", 0),
            column("POSTs lost", 0),
            column("p99 ms while killed", 0),
        ],
        rows,
    })
}

fn contenders(plan: &Plan) -> Vec<Contender<Setting>> {
    let one = Setup {
        function: "ready",
        katamari: "web",
        application: Some("flask_app:app"),
        workers: WORKERS,
        ..Setup::default()
    };
    let threads = Setup {
        katamari: "web-http",
        threads: Some(THREADS),
        ..one.clone()
    };
    let all = [
        ("Katamari", Peer::Katamari, &one),
        ("Katamari, gunicorns with threads", Peer::Katamari, &threads),
        ("gunicorn", Peer::Gunicorn, &one),
        ("gunicorn with threads", Peer::Gunicorn, &threads),
        ("uWSGI", Peer::Uwsgi, &one),
    ];
    let contender = |(name, peer, setup): (&str, Peer, &Setup)| Contender {
        name: name.to_owned(),
        what: Setting {
            peer,
            setup: setup.clone(),
        },
    };
    let wanted = all.into_iter().filter(|&(_, peer, _)| plan.wants(peer));
    wanted.map(contender).collect()
}

/// How fast it is, and what that costs.
fn fast(server: &Server, length: Duration) -> Result<Vec<f64>> {
    let [order, post, page] = requests(server, None);
    let requests = vec![order.clone(), page.clone(), post, order, page];
    let cpu_before_s = processes::cpu_seconds();
    let until = Until::Time(length);
    let run = load::closed_in_turn(server.address(), requests, CONNECTIONS, until)?;
    let cpu_s = processes::cpu_seconds() - cpu_before_s;
    let answered = figure(run.tally.count(Outcome::Answered));
    Ok(vec![
        answered / run.elapsed.as_secs_f64(),
        run.tally.quantile_ms(Outcome::Answered, 0.5),
        run.tally.quantile_ms(Outcome::Answered, 0.99),
        cpu_s / answered * 1e3,
        figure(run.tally.lost()),
    ])
}

/// What is lost while its processes die.
fn while_dying(server: &Server, length: Duration, seed: u64) -> Result<Vec<f64>> {
    let requests = requests(server, Some(DATABASE_MS)).to_vec();
    let arrivals = arrivals(length, seed);
    let (found, killed) = while_killing(seed, length, || {
        load::open(server.address(), requests, &arrivals, PATIENCE)
    })?;
    let calls = |tally: &Tally| figure(tally.lost() + tally.count(Outcome::Answered));
    let mut gets = found.tallies[ORDER].clone();
    gets.merge(&found.tallies[PAGE]);
    let posts = &found.tallies[POST];
    let mut all = gets.clone();
    all.merge(posts);
    Ok(vec![
        figure(killed),
        calls(&gets),
        figure(gets.lost()),
        calls(posts),
        figure(posts.lost()),
        all.quantile_ms(Outcome::Answered, 0.99),
    ])
}

/// A POST now and then, and of the rest every other one a page.
fn arrivals(length: Duration, seed: u64) -> Vec<Arrival> {
    let mut arrivals = poisson(CALLS_PER_SECOND, length, POSTS, seed);
    let gets = arrivals.iter_mut().filter(|one| one.request == ORDER);
    for arrival in gets.skip(1).step_by(2) {
        arrival.request = PAGE;
    }
    arrivals
}

/// The requests, at [`ORDER`], [`POST`] and [`PAGE`].
fn requests(server: &Server, database_ms: Option<u64>) -> [Request; 3] {
    let wait = database_ms.map_or_else(String::new, |ms| format!("database_ms={ms}&"));
    let close = server.request("").close();
    let form = "name=Ada+Lovelace&count=2&comment=As+soon+as+possible%2C+please&number=";
    let browse = |target: &str, form| Request::browse(server.address(), target, form, close);
    [
        browse(&format!("/orders/ada?{wait}number="), None),
        browse(&format!("/orders?{wait}"), Some(form)),
        browse(&format!("/pages/ada?{wait}number="), None),
    ]
}

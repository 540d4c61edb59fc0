//! Bodies that minijinja writes: what a template may ask for, and what it costs at most.
//!
//! Off the hot path: a value that a template names is copied for it. Random numbers come from the session's, by one draw for
//! each rendering, so that the same run gives the same bodies.

use std::io::{self, Write};
use std::sync::Mutex;

use minijinja::value::Object;
use minijinja::{Environment, Error, State, Value};
use scenarios::plan::{Known, Part, Rendered};
use scenarios::rendering::{self, MAX_RENDERED};
use timeline::clock::unix_ms;

use crate::kind::ErrorKind;
use crate::program::BadPlan;
use crate::random::Stream;
use crate::template::Values;

/// Under which name a rendering's random numbers are found; no template can spell it.
const DRAWS: &str = " draws";

/// The random numbers of one rendering.
#[derive(Debug)]
struct Draws(Mutex<Stream>);

impl Object for Draws {}

/// A template, ready to be rendered.
#[derive(Debug)]
pub struct Page {
    environment: Environment<'static>,
    values: Vec<(String, Known)>,
}

impl Page {
    /// Makes one ready.
    ///
    /// # Errors
    /// [`BadPlan::Template`]: the parser takes no such template.
    pub fn new(rendered: &Rendered) -> Result<Self, BadPlan> {
        let mut environment = rendering::environment();
        environment.add_function("uuid", uuid);
        environment.add_function("int", int);
        environment.add_function("float", float);
        environment.add_function("pick", pick);
        environment
            .add_template_owned("body", rendered.source.clone())
            .map_err(|e| BadPlan::Template { name: rendered.name.clone(), why: e.to_string() })?;
        Ok(Self { environment, values: rendered.values.clone() })
    }

    /// The feeders that it looks at.
    pub fn feeders(&self) -> impl Iterator<Item = usize> + '_ {
        self.values
            .iter()
            .filter_map(|(_, k)| if let Known::Row(i) = k { Some(usize::from(*i)) } else { None })
    }

    /// Appends what it renders to `out`.
    ///
    /// # Errors
    /// [`ErrorKind::Template`]: an unset variable was written, a filter failed, or it went on for too long.
    pub fn write(&self, out: &mut Vec<u8>, values: &mut Values<'_>) -> Result<(), ErrorKind> {
        let draws = Stream::of(values.stream.bits(), values.number);
        let own = (DRAWS.to_owned(), Value::from_object(Draws(Mutex::new(draws))));
        let context = self.values.iter().map(|(name, known)| (name.clone(), value_of(known, values)));
        let context = Value::from_pairs(context.chain([own]));
        let template = self.environment.get_template("body").map_err(|_| ErrorKind::Template)?;
        let bounded = Bounded { room: MAX_RENDERED, out };
        template.render_captured_to(context, bounded).map(drop).map_err(|_| ErrorKind::Template)
    }
}

fn value_of(known: &Known, values: &Values<'_>) -> Value {
    match known {
        Known::Value(Part::Var(slot)) => match values.var(usize::from(slot.0)) {
            "" => Value::UNDEFINED,
            text => Value::from(text),
        },
        Known::Value(Part::Secret(secret)) => Value::from(secret.value.as_str()),
        Known::Value(Part::Session) => Value::from(values.number),
        Known::Value(Part::Now) => Value::from(unix_ms()),
        // The plan has no others here.
        Known::Value(_) => Value::UNDEFINED,
        Known::Row(feeder) => {
            let feeder = usize::from(*feeder);
            let columns = values.feeders.get(feeder).map(|f| f.columns.as_slice()).unwrap_or_default();
            let cell = |(i, name): (usize, &String)| (name.clone(), Value::from(values.cell(feeder, i)));
            Value::from_pairs(columns.iter().enumerate().map(cell))
        }
        Known::Fixed(value) => rendering::value_of(value),
    }
}

/// Takes no more bytes than there is room for.
struct Bounded<'o> {
    room: usize,
    out: &'o mut Vec<u8>,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.room =
            self.room.checked_sub(bytes.len()).ok_or_else(|| io::Error::other("the body is too large"))?;
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn draw<T>(state: &State<'_, '_>, f: impl FnOnce(&mut Stream) -> T) -> Result<T, Error> {
    let draws = state.lookup(DRAWS);
    let found = draws.as_ref().and_then(|v| v.downcast_object_ref::<Draws>());
    let none = || Error::new(minijinja::ErrorKind::InvalidOperation, "there are no random numbers here");
    let mut stream = found.ok_or_else(none)?.0.lock().map_err(|_| none())?;
    Ok(f(&mut stream))
}

fn uuid(state: &State<'_, '_>) -> Result<String, Error> {
    draw(state, |stream| {
        let mut out = Vec::new();
        stream.uuid(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    })
}

fn int(state: &State<'_, '_>, low: i64, high: i64) -> Result<i64, Error> {
    draw(state, |stream| stream.int(low, high))
}

fn float(state: &State<'_, '_>, low: f64, high: f64) -> Result<f64, Error> {
    draw(state, |stream| low + stream.unit() * (high - low))
}

fn pick(state: &State<'_, '_>, all: Value) -> Result<Value, Error> {
    let all: Vec<Value> = all.try_iter()?.collect();
    let i = draw(state, |stream| stream.below(all.len() as u64))? as usize;
    Ok(all.get(i).cloned().unwrap_or(Value::UNDEFINED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::plan::Slot;

    fn render(source: &str, var: &str) -> Result<String, ErrorKind> {
        let values = vec![
            ("token".to_owned(), Known::Value(Part::Var(Slot(0)))),
            ("session".to_owned(), Known::Value(Part::Session)),
            ("vars".to_owned(), Known::Fixed(serde_json::json!({ "n": 3 }))),
        ];
        let page = Page::new(&Rendered { name: "t".into(), source: source.into(), values }).unwrap();
        let vars = [Some(var.into())];
        let (mut out, mut stream) = (Vec::new(), Stream::of(1, 2));
        let mut values = Values::of_vars(&vars, &mut stream);
        page.write(&mut out, &mut values)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn templates_know_what_they_are_given() {
        assert_eq!(
            render(
                "{% for i in range(vars.n) %}{{ i }}{% endfor %} {{ token | tojson }} {{ session }}",
                "a\"b"
            )
            .unwrap(),
            "012 \"a\\\"b\" 7"
        );
        assert_eq!(render("{% if token %}yes{% else %}no{% endif %}", "").unwrap(), "no");
        let drawn = "{{ uuid() }} {{ int(1, 9) }} {{ pick(['a', 'b']) }} {{ float(0, 1) < 1 }}";
        assert_eq!(render(drawn, "").unwrap(), render(drawn, "").unwrap());
        assert!(render(drawn, "").unwrap().ends_with("True"), "as Jinja writes it; `tojson` writes JSON");
        for name in rendering::FUNCTIONS {
            assert!(drawn.contains(&format!("{name}(")), "{name} is offered and not tried");
        }
    }

    #[test]
    fn what_goes_wrong_or_on_for_ever_is_an_error_of_its_own() {
        for source in [
            "{{ token }}",
            "{{ 1 / 0 }}",
            "{% for i in range(99999) %}{% for j in range(99999) %}{{ j }}{% endfor %}{% endfor %}",
            "{% for i in range(40) %}{{ 'x' * 1000000 }}{% endfor %}",
        ] {
            assert_eq!(render(source, ""), Err(ErrorKind::Template), "{source}");
        }
    }
}

//! The legend of a row of charts: each thing drawn once, in the colours of all tiers that have it.

use crate::sim::plot::chart::{Chart, Shape};
use crate::sim::plot::svg::{Frame, Svg};

/// One thing drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What it is called.
    pub label: &'static str,
    shape: Shape,
    classes: Vec<&'static str>,
}

/// What these charts show, in the order in which they draw it.
pub fn entries(charts: &[&Chart]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for chart in charts {
        for layer in chart.layers.iter().filter(|layer| !layer.label.is_empty()) {
            let seen = layer.is_seen(chart.top).then_some(layer.class);
            match entries.iter_mut().find(|entry| entry.label == layer.label) {
                Some(entry) if seen.is_none_or(|class| entry.classes.contains(&class)) => {}
                Some(entry) => entry.classes.extend(seen),
                None => entries.push(Entry {
                    label: layer.label,
                    shape: layer.shape,
                    classes: seen.into_iter().collect(),
                }),
            }
        }
    }
    entries.retain(|entry| !entry.classes.is_empty());
    entries
}

impl Entry {
    /// Draws a sample of it.
    pub fn draw_swatch(&self, svg: &mut Svg, frame: Frame) {
        let part = frame.width / self.classes.len().max(1) as f64;
        let middle = frame.top + frame.height / 2.0;
        for (number, class) in self.classes.iter().enumerate() {
            let left = frame.left + number as f64 * part;
            match self.shape {
                Shape::Band => svg.rectangle(class, Frame { left, width: part, ..frame }),
                Shape::Mean | Shape::Most | Shape::Level(_) => {
                    svg.line(class, &[(left, middle), (left + part, middle)]);
                }
            }
        }
    }
}

//! The looks of every class, on light and on dark ground; colours that eyes without red or green tell apart.

/// The style sheet.
///
/// Colours are the roles' own: green is let in, amber throttled, red shed, violet the drain, grey the workers.
pub const STYLE: &str = "
.tidegate-plot{background:#fff;font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}
.tidegate-plot path,.tidegate-plot rect{stroke-linejoin:round;stroke-linecap:butt}
.tidegate-plot text{fill:#24292f;font-size:12px}
.tidegate-plot path{fill:none;stroke-width:1.6}
.tidegate-plot .page{fill:#fff}
.tidegate-plot .field{fill:#f6f8fa}
.tidegate-plot .title{font-size:22px;font-weight:600}
.tidegate-plot .name{font-size:14px;font-weight:600}
.tidegate-plot .row{font-size:13px;font-weight:600}
.tidegate-plot .soft,.tidegate-plot .tick,.tidegate-plot .empty{fill:#57606a}
.tidegate-plot .empty{font-style:italic}
.tidegate-plot .note{fill:#9a3412}
.tidegate-plot .grid{stroke:#57606a;stroke-opacity:.16;stroke-width:1}
.tidegate-plot .axis{stroke:#57606a;stroke-width:1}
.tidegate-plot .cut{stroke:#9a3412;stroke-width:4;stroke-dasharray:5 3}
.tidegate-plot .blind{fill:#6e7781;fill-opacity:.2;stroke:none}
.tidegate-plot .edge{stroke:#57606a;stroke-width:1;stroke-dasharray:2 2}
.tidegate-plot .restart{stroke:#24292f;stroke-dasharray:2 3}
.tidegate-plot .d0{stroke:#b03060}.tidegate-plot .b0,.tidegate-plot .c0{fill:#b03060}
.tidegate-plot .d1{stroke:#8a6500}.tidegate-plot .b1,.tidegate-plot .c1{fill:#8a6500}
.tidegate-plot .d2{stroke:#0b62b0}.tidegate-plot .b2,.tidegate-plot .c2{fill:#0b62b0}
.tidegate-plot .b0,.tidegate-plot .b1,.tidegate-plot .b2{fill-opacity:.28;stroke:none}
.tidegate-plot .target{stroke:#24292f;stroke-dasharray:7 4;stroke-width:1.4}
.tidegate-plot .window{stroke:#57606a;stroke-dasharray:1.5 3;stroke-width:1.4}
.tidegate-plot .shed{stroke:#c2410c;stroke-dasharray:9 3 2 3;stroke-width:1.2}
.tidegate-plot .bound{stroke:#7f1d1d;stroke-width:1.2}
.tidegate-plot .rate{stroke:#00855f;stroke-width:1.8}.tidegate-plot .rateband{fill:#00855f;fill-opacity:.25;stroke:none}
.tidegate-plot .drain{stroke:#7a3fb0;stroke-dasharray:6 3}
.tidegate-plot .work{stroke:#6e7781;stroke-width:3.2;stroke-opacity:.55}.tidegate-plot .workband{fill:#6e7781;fill-opacity:.18;stroke:none}
.tidegate-plot .pool{stroke:#6e7781;stroke-dasharray:1.5 3}
.tidegate-plot .admitted{fill:#35a883;stroke:none}
.tidegate-plot .throttled{fill:#f2b84b;stroke:none}
.tidegate-plot .refused{fill:#d9622b;stroke:none}
.tidegate-plot .asked{stroke:#24292f;stroke-width:1.1}
.tidegate-plot .first{stroke:#24292f;stroke-dasharray:4 3;stroke-width:1.3}
.tidegate-plot .beside{stroke:#7a3fb0;stroke-width:1.6}
.tidegate-plot .told{stroke:#a86400;stroke-linecap:round}.tidegate-plot .toldband{fill:#e69f00;fill-opacity:.35;stroke:none}
@media (prefers-color-scheme:dark){
.tidegate-plot{background:#0d1117}
.tidegate-plot text{fill:#e6edf3}
.tidegate-plot .page{fill:#0d1117}
.tidegate-plot .field{fill:#161b22}
.tidegate-plot .soft,.tidegate-plot .tick,.tidegate-plot .empty{fill:#9da7b3}
.tidegate-plot .note{fill:#ffa27a}
.tidegate-plot .grid{stroke:#9da7b3;stroke-opacity:.2}
.tidegate-plot .axis,.tidegate-plot .edge{stroke:#9da7b3}
.tidegate-plot .cut{stroke:#ffa27a}
.tidegate-plot .blind{fill:#b1bac4;fill-opacity:.22}
.tidegate-plot .restart,.tidegate-plot .target,.tidegate-plot .asked,.tidegate-plot .first{stroke:#e6edf3}
.tidegate-plot .d0{stroke:#f48fb1}.tidegate-plot .b0,.tidegate-plot .c0{fill:#f48fb1}
.tidegate-plot .d1{stroke:#e3c567}.tidegate-plot .b1,.tidegate-plot .c1{fill:#e3c567}
.tidegate-plot .d2{stroke:#6cb6ff}.tidegate-plot .b2,.tidegate-plot .c2{fill:#6cb6ff}
.tidegate-plot .window{stroke:#9da7b3}
.tidegate-plot .shed{stroke:#ff9463}
.tidegate-plot .bound{stroke:#ff7b72}
.tidegate-plot .rate{stroke:#3fcf9f}.tidegate-plot .rateband{fill:#3fcf9f}
.tidegate-plot .drain,.tidegate-plot .beside{stroke:#c9a0ff}
.tidegate-plot .work,.tidegate-plot .pool{stroke:#9da7b3}.tidegate-plot .workband{fill:#9da7b3}
.tidegate-plot .admitted{fill:#1f8a68}
.tidegate-plot .throttled{fill:#b9811c}
.tidegate-plot .refused{fill:#b54a1b}
.tidegate-plot .told{stroke:#ffc55c}.tidegate-plot .toldband{fill:#ffc55c;fill-opacity:.3}
}
";

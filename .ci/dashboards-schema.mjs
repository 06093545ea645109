// Writes the dashboards as TypeScript literals of Grafana's published types, for tsc to compare. A literal, unlike an
// import of JSON, is also refused for a property that the type doesn't have.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const composable = '@grafana/schema/dist/esm/raw/composable';
const kinds = {
  stat: ['Stat', 'stat/panelcfg/x/StatPanelCfg_types.gen', null],
  table: ['Table', 'table/panelcfg/x/TablePanelCfg_types.gen', 'FieldConfig'],
  timeseries: ['TimeSeries', 'timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen', 'FieldConfig'],
  'state-timeline': ['StateTimeline', 'statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen', 'FieldConfig'],
};

const lines = [
  "import type { Dashboard } from '@grafana/schema';",
  ...Object.values(kinds).map(([name, path]) => `import type * as ${name} from '${composable}/${path}';`),
  '// JSON has the values of enums, not their names.',
  'type Plain<T> = T extends string ? (string extends T ? string : `${T}`)',
  '  : T extends (infer U)[] ? Plain<U>[]',
  '  : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;',
];
for (const file of readdirSync('dashboards').filter((name) => name.endsWith('.json'))) {
  const text = readFileSync(`dashboards/${file}`, 'utf8');
  const name = file.replace(/\W/g, '_');
  lines.push(`export const ${name}: Plain<Dashboard> = ${text};`);
  for (const panel of JSON.parse(text).panels) {
    const [kind, , custom] = kinds[panel.type];
    lines.push(`export const ${name}_${panel.id}: Plain<${kind}.Options> = ${JSON.stringify(panel.options)};`);
    if (custom) lines.push(`export const ${name}_${panel.id}_field: Plain<${kind}.${custom}> = ${JSON.stringify(panel.fieldConfig.defaults.custom)};`);
  }
}
writeFileSync(process.argv[2], lines.join('\n') + '\n');

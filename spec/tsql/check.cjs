// SPDX-License-Identifier: MIT
// Parses each file that is named with antlr4ts-sql's T-SQL grammar; a line "FILE<tab>fault" for each
// that it refuses. Run where `npm ci` has installed what package.json here asks for.
"use strict";
const fs = require("fs");
const { CharStreams, CommonTokenStream } = require("antlr4ts");
const sql = require("antlr4ts-sql");

for (const file of process.argv.slice(2)) {
  const text = fs.readFileSync(file, "utf8").toUpperCase();
  const faults = [];
  const listener = { syntaxError: (r, o, line, col, msg) => faults.push(`${line}:${col} ${msg}`) };
  const lexer = new sql.TSqlLexer(CharStreams.fromString(text));
  lexer.removeErrorListeners();
  lexer.addErrorListener(listener);
  const parser = new sql.TSQLGrammar.TSqlParser(new CommonTokenStream(lexer));
  parser.removeErrorListeners();
  parser.addErrorListener(listener);
  parser.tsql_file();
  if (faults.length) console.log(`${file}\t${faults[0]}`);
}

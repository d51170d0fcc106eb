-- SPDX-License-Identifier: MIT
std = "lua54"
max_line_length = 110

-- What is built into the program is a chunk with one argument.
files["lua/crier"].std = "lua54"

-- Declarations for editors: bodies are empty, comments are long.
files["lua/meta"] = {
  unused = false,
  ignore = { "212" },
  max_comment_line_length = 260,
}

-- Scripts and the messages that they give stand in specs as they are.
files["spec"].max_line_length = 140
files["spec/*_spec.lua"].std = "lua54+busted"
files["spec/**/*_spec.lua"].std = "lua54+busted"

# cmake -DFILES=a.lua;b.lua -DOUT=sugar.c -P embed.cmake
# Each file becomes `const char crier_sugar_<name>[]` with its length.
set(text "#include <stddef.h>\n#include \"script/sugar.h\"\n")
foreach(file ${FILES})
  get_filename_component(name "${file}" NAME_WE)
  file(READ "${file}" hex HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(LENGTH "${hex}" digits)
  math(EXPR size "${digits} / 2")
  string(APPEND text "const char crier_sugar_${name}[] = {${bytes}0};\n"
                     "const size_t crier_sugar_${name}_len = ${size};\n")
endforeach()
file(WRITE "${OUT}" "${text}")

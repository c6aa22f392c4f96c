# One CMake target a layer (an object library), two libraries for users.

# What all of our own code is compiled with. Consumers see none of it.
add_library(rushlight_flags INTERFACE)
target_compile_features(rushlight_flags INTERFACE cxx_std_20)
set(rushlight_warnings -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wundef)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND rushlight_warnings -Wno-restrict)  # false alarms on "text" + std::string at -O2 and above, GCC PR 105651
endif()
if(RUSHLIGHT_DEVELOPER)
  list(APPEND rushlight_warnings -Werror)
endif()
target_compile_options(rushlight_flags INTERFACE
  "$<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang>:${rushlight_warnings}>"
  "$<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang>:-fvisibility=hidden;-fvisibility-inlines-hidden>"
  # Each function by itself: programs that link the static libraries leave out what they do not call.
  "$<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang>:-ffunction-sections;-fdata-sections>")
# A compiler may make one rounding of the two in a * b + c where every processor it compiles for can do that: AArch64's
# can, those of plain x86-64 cannot. Results would hang on the compiler and on the machine; kernels say themselves where
# they fuse.
if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
  target_compile_options(rushlight_flags INTERFACE
    "$<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang>:-ffp-contract=off>")
endif()
# Layers that run once a file or a command: most of them is the wording of what can be wrong with a file.
set(rushlight_small "$<$<AND:$<CONFIG:Release>,$<COMPILE_LANG_AND_ID:CXX,GNU,Clang>>:-Os>")
if(NOT RUSHLIGHT_EXCEPTIONS)
  target_compile_options(rushlight_flags INTERFACE "$<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang>:-fno-exceptions;-fno-rtti>")
endif()
if(RUSHLIGHT_SANITIZE)
  target_compile_options(rushlight_flags INTERFACE
    "$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${RUSHLIGHT_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=all>")
  target_link_options(rushlight_flags INTERFACE -fsanitize=${RUSHLIGHT_SANITIZE})
endif()

# The two devices.cpp ask; they include "cuda/device_memory.hpp" and "cuda/backend.hpp".
target_compile_definitions(rushlight_flags INTERFACE RUSHLIGHT_HAS_CUDA=$<BOOL:${RUSHLIGHT_HAS_CUDA}>)
if(RUSHLIGHT_HAS_CUDA)
  target_include_directories(rushlight_flags INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
endif()

set_property(GLOBAL PROPERTY RUSHLIGHT_READER_LAYERS "")
set_property(GLOBAL PROPERTY RUSHLIGHT_RUNTIME_LAYERS "")

# Sources of a SMALL layer whose loops run over thousands of tensors, or over every element.
function(rushlight_fast_sources)
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS
    "$<$<AND:$<CONFIG:Release>,$<COMPILE_LANG_AND_ID:CXX,GNU,Clang>>:-O2>")
endfunction()

# rushlight_layer(NAME [RUNTIME] [SMALL] SOURCES file... [LAYERS layer...] [LIBRARIES target...] [DEFINITIONS ...])
# An object library rushlight_NAME. LAYERS are the layers it may call. It becomes part of librushlight, or with RUNTIME
# of librushlight_runtime.
function(rushlight_layer name)
  cmake_parse_arguments(arg "RUNTIME;SMALL" "" "SOURCES;LAYERS;LIBRARIES;DEFINITIONS" ${ARGN})
  add_library(rushlight_${name} OBJECT ${arg_SOURCES})
  target_include_directories(rushlight_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include
                                                       ${PROJECT_BINARY_DIR}/generated)
  target_link_libraries(rushlight_${name} PRIVATE rushlight_flags ${arg_LIBRARIES})
  target_compile_definitions(rushlight_${name} PRIVATE RUSHLIGHT_BUILDING ${arg_DEFINITIONS})
  if(arg_SMALL)
    target_compile_options(rushlight_${name} PRIVATE ${rushlight_small})
  endif()
  set_target_properties(rushlight_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  set_property(TARGET rushlight_${name} PROPERTY RUSHLIGHT_LAYER_LIBRARIES ${arg_LIBRARIES})
  set_property(TARGET rushlight_${name} PROPERTY RUSHLIGHT_LAYER_LAYERS ${arg_LAYERS})
  if(arg_RUNTIME)
    set_property(GLOBAL APPEND PROPERTY RUSHLIGHT_RUNTIME_LAYERS ${name})
  else()
    set_property(GLOBAL APPEND PROPERTY RUSHLIGHT_READER_LAYERS ${name})
  endif()
endfunction()

# rushlight_apart(file...): compiled each by itself where CMAKE_UNITY_BUILD joins the rest, since names of theirs are those
# of a neighbour's.
function(rushlight_apart)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# The two libraries users link: rushlight::rushlight (read, check) and rushlight::runtime (run).
function(rushlight_make_library target export_name layers)
  set(objects "")
  set(libraries "")
  foreach(layer IN LISTS layers)
    list(APPEND objects $<TARGET_OBJECTS:rushlight_${layer}>)
    get_property(layer_libraries TARGET rushlight_${layer} PROPERTY RUSHLIGHT_LAYER_LIBRARIES)
    list(APPEND libraries ${layer_libraries})
  endforeach()
  list(REMOVE_DUPLICATES libraries)
  list(REMOVE_ITEM libraries Eigen3::Eigen)  # headers only: the objects are compiled, consumers need none of it
  add_library(${target} ${objects})
  add_library(rushlight::${export_name} ALIAS ${target})
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                              $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:rushlight_flags> ${libraries})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${export_name} LINKER_LANGUAGE CXX
                        VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} POSITION_INDEPENDENT_CODE ON)
  if(BUILD_SHARED_LIBS)
    target_compile_definitions(${target} PUBLIC RUSHLIGHT_SHARED)
  endif()
endfunction()

function(rushlight_make_libraries)
  get_property(reader GLOBAL PROPERTY RUSHLIGHT_READER_LAYERS)
  rushlight_make_library(rushlight rushlight "${reader}")
  if(RUSHLIGHT_BUILD_RUNTIME)
    get_property(runtime GLOBAL PROPERTY RUSHLIGHT_RUNTIME_LAYERS)
    rushlight_make_library(rushlight_runtime runtime "${runtime}")
    target_link_libraries(rushlight_runtime PUBLIC rushlight)
  endif()
endfunction()

# rushlight_inside_program(NAME SOURCES file... [LAYERS layer...] [LIBRARIES target...] [WITHOUT layer-or-target...])
# A program that looks into the library: it links the objects of the named layers and of all they call, but for those that
# it brings a stand-in for.
function(rushlight_inside_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;LAYERS;LIBRARIES;WITHOUT" ${ARGN})
  set(pending ${arg_LAYERS})
  set(layers ${arg_WITHOUT})
  set(objects "")
  set(libraries ${arg_LIBRARIES})
  while(pending)
    list(POP_FRONT pending layer)
    if(NOT layer IN_LIST layers)
      list(APPEND layers ${layer})
      list(APPEND objects $<TARGET_OBJECTS:rushlight_${layer}>)
      get_property(layer_libraries TARGET rushlight_${layer} PROPERTY RUSHLIGHT_LAYER_LIBRARIES)
      list(APPEND libraries ${layer_libraries})
      get_property(called TARGET rushlight_${layer} PROPERTY RUSHLIGHT_LAYER_LAYERS)
      list(APPEND pending ${called})
    endif()
  endwhile()
  if(arg_WITHOUT)
    list(REMOVE_ITEM libraries ${arg_WITHOUT})
  endif()
  add_executable(${name} ${arg_SOURCES} ${objects})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include
                                             ${PROJECT_SOURCE_DIR}/tests ${PROJECT_SOURCE_DIR}
                                             ${PROJECT_BINARY_DIR}/generated)
  target_link_libraries(${name} PRIVATE rushlight_flags ${libraries})
endfunction()

# rushlight_test(NAME [HEAVY] ...): a GoogleTest program, the rest as above. Its own files are hardly optimised, which saves
# a quarter of their compilation; HEAVY ones compute themselves and are.
function(rushlight_test name)
  cmake_parse_arguments(heavy "HEAVY" "" "" ${ARGN})
  rushlight_inside_program(${name} ${heavy_UNPARSED_ARGUMENTS})
  if(NOT heavy_HEAVY)
    target_compile_options(${name} PRIVATE $<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang>:-O1>)
  endif()
  target_link_libraries(${name} PRIVATE GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE
    RUSHLIGHT_GOLDEN_DIR="${PROJECT_BINARY_DIR}/golden" RUSHLIGHT_TESTS_SOURCE_DIR="${PROJECT_SOURCE_DIR}/tests")
  include(GoogleTest)
  # Sanitizers make a test of half a minute one of some.
  set(timeout_s 300)
  if(RUSHLIGHT_SANITIZE)
    set(timeout_s 1800)
  endif()
  gtest_discover_tests(${name} TEST_PREFIX "${name}." DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT ${timeout_s})
endfunction()

# What was found, and what it gains.
function(rushlight_print_summary)
  if(NOT PROJECT_IS_TOP_LEVEL)
    return()
  endif()
  message(STATUS "")
  message(STATUS "rushlight ${PROJECT_VERSION}   ${CMAKE_BUILD_TYPE}   ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
  foreach(row IN LISTS RUSHLIGHT_SUMMARY)
    if(row)
      string(REPLACE "|" ";" fields "${row}")
      list(GET fields 0 name)
      list(GET fields 1 found)
      list(GET fields 2 gain)
      string(LENGTH "${name}" width)
      math(EXPR pad "18 - ${width}")
      string(REPEAT " " ${pad} spaces)
      message(STATUS "  ${name}${spaces}${found}  (${gain})")
    endif()
  endforeach()
  message(STATUS "")
endfunction()

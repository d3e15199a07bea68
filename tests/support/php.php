<?php
// Reads a JSON string or number a line; answers with doubleval, intval, strval and strtotime of it.
// The present is fixed, and a rare day: whatever is read as today is seldom right by chance.
ini_set('precision', '14');
date_default_timezone_set('UTC');
$now = gmmktime(10, 0, 0, 2, 29, 2028);
while (($line = fgets(STDIN)) !== false) {
    $value = json_decode($line);
    $time = strtotime(strval($value), $now);
    $day = $time === false ? null : gmdate('Y-m-d', $time);
    echo json_encode([strval(doubleval($value)), intval($value), strval($value), $day], JSON_UNESCAPED_UNICODE), "\n";
}
